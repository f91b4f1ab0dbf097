"""A real Slurm on this machine: two nodes with two fake GPUs each, all of its state in one folder, no privileges.

`python -m tests.slurm.cluster` starts one by hand, says how to use it, and stops it at Ctrl-C.

Controller, node daemons and, with accounting, database run as the user who starts them. A GPU is a link to
/dev/null: a name of a device is all that Slurm needs to assign it and to set CUDA_VISIBLE_DEVICES. Nothing enforces
memory or keeps processes from a GPU, which would take cgroups and root.
"""

import ctypes
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

import psutil

from tests.slurm.configuration import ACCOUNT, REFUSED_ACCOUNT, write_configuration, write_database_configuration

#: Programs of a cluster and the Debian packages that have them; the second group is for accounting.
PROGRAMS = {"munged": "munge", "slurmctld": "slurmctld", "slurmd": "slurmd", "sbatch": "slurm-client"}
ACCOUNTING = {
    "slurmdbd": "slurmdbd",
    "mariadbd": "mariadb-server-core",
    "mariadb-install-db": "mariadb-server-core",
    "my_print_defaults": "mariadb-client-core",  # called by mariadb-install-db
}
#: Daemons are not on the PATH of everybody who may start them.
SEARCH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
NODES = ("n1", "n2")
#: From linux/prctl.h.
_PR_SET_PDEATHSIG = 1
#: Seconds that a daemon may take to answer, on a machine that may be busy.
LIMIT = 60


def missing_packages() -> list[str]:
    """Return the Debian packages that a cluster needs and this machine lacks."""
    return sorted({package for name, package in (PROGRAMS | ACCOUNTING).items() if _find(name) is None})


def _find(program: str) -> str | None:
    return shutil.which(program, path=SEARCH)


@dataclass
class Cluster:
    """Context manager: a Slurm that runs within the block.

    Attributes:
        folder: Folder for all of its files; made if it is missing.
        accounting: Whether there are accounts, and a database that knows finished jobs.
    """

    folder: Path
    accounting: bool = True
    _daemons: list[subprocess.Popen[bytes]] = field(default_factory=list, init=False)
    _nodes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict, init=False)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which Slurm's commands, and jobs, find this cluster."""
        return {
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PATH": os.pathsep.join([str(self.folder / "bin"), SEARCH]),
        }

    def call(self, *command: str) -> str:
        """Run one of Slurm's commands; return what it prints."""
        ended = subprocess.run(
            command, env=self._whole_environment(), capture_output=True, text=True, check=False, timeout=LIMIT
        )
        if ended.returncode:
            raise RuntimeError(f"{' '.join(command)}: {ended.stderr or ended.stdout}")
        return ended.stdout

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until `condition` holds."""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            try:
                if condition():
                    return
            except RuntimeError:  # the daemon does not answer yet
                pass
            time.sleep(0.1)
        raise RuntimeError(f"{what} after {LIMIT} s; the logs are in {self.folder}")

    def lose_node(self, node: str) -> None:
        """Have a node vanish with all that runs on it, and tell the controller, which would notice after minutes."""
        jobs = self.call("squeue", "--noheader", f"--nodelist={node}", "--format=%i").split()
        daemon = self._nodes.pop(node)
        daemon.kill()
        daemon.wait()
        self._daemons.remove(daemon)
        self._kill(jobs)
        self.call("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=lost")

    def _kill(self, jobs: Sequence[str] | None = None) -> None:
        """Kill all processes of some jobs, or of the whole cluster, which are known by their environment."""
        killed = []
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                variables, title = process.environ(), " ".join(process.cmdline())
                if variables.get("SLURM_CONF") == self.environment["SLURM_CONF"] and (
                    jobs is None
                    or variables.get("SLURM_JOB_ID") in jobs
                    or any(title.startswith(f"slurmstepd: [{job}.") for job in jobs)
                ):
                    process.kill()
                    killed.append(process)
        psutil.wait_procs(killed, timeout=LIMIT)

    def _whole_environment(self) -> dict[str, str]:
        return {**os.environ, **self.environment}

    def _start(self) -> None:
        for name in ("bin", "state", *NODES):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self._write_srun()
        self._start_munge()
        control, database, *ports = _free_ports(2 + len(NODES))
        nodes = dict(zip(NODES, ports, strict=True))
        write_configuration(self.folder, control, nodes, database if self.accounting else None, self._release())
        if self.accounting:
            self._start_database(database)
        self._daemon("slurmctld", "-D")
        self.wait_until(lambda: bool(self.call("scontrol", "ping")), "no slurmctld")
        for node in NODES:
            self._nodes[node] = self._daemon("slurmd", "-D", "-N", node)
        self.wait_until(
            lambda: self.call("sinfo", "--noheader", "--states=idle", "--format=%D").split() != [], "no node"
        )
        self.wait_until(lambda: self.states() == dict.fromkeys(NODES, "idle"), "nodes are not up")

    def states(self) -> dict[str, str]:
        """Return the state of each node, as `sinfo` says it."""
        lines = self.call("sinfo", "--noheader", "--Node", "--format=%N %T").splitlines()
        return dict(line.split(maxsplit=1) for line in lines)

    def _write_srun(self) -> None:
        """Put an srun before the real one that knows the configuration.

        Snakemake's job step takes SLURM_CONF out of the environment of srun, which then looks in /etc/slurm.
        """
        path = self.folder / "bin" / "srun"
        path.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {_find("srun")} "$@"\n')
        path.chmod(0o755)

    def _start_munge(self) -> None:
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        options = {name: self.folder / f"munge.{name}" for name in ("socket", "pid", "log", "seed")}
        self._daemon(
            *("munged", "--foreground", "--force", f"--key-file={key}", f"--socket={options['socket']}"),
            *(f"--pid-file={options['pid']}", f"--log-file={options['log']}", f"--seed-file={options['seed']}"),
        )
        self.wait_until(options["socket"].exists, "no munged")

    def _release(self) -> tuple[int, int]:
        year, month = self.call(str(_find("slurmctld")), "-V").split()[1].split(".")[:2]
        return int(year), int(month)

    def _start_database(self, port: int) -> None:
        folder, user = self.folder, getpass.getuser()
        as_user = (f"--user={user}",)
        subprocess.run(
            [
                *(str(_find("mariadb-install-db")), "--no-defaults", f"--datadir={folder}/database", *as_user),
                *("--auth-root-authentication-method=normal", "--skip-test-db"),
            ],
            stdout=(folder / "mariadb-install.log").open("wb"),
            stderr=subprocess.STDOUT,
            check=True,
        )
        # Without waiting for the disk: nobody needs this database after a power cut.
        self._daemon(
            *("mariadbd", "--no-defaults", f"--datadir={folder}/database", *as_user, "--skip-networking"),
            *(f"--socket={folder}/database.socket", f"--pid-file={folder}/mariadbd.pid"),
            *("--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M"),
        )
        self.wait_until((folder / "database.socket").exists, "no mariadbd")
        write_database_configuration(folder, port)
        self._daemon("slurmdbd", "-D", MYSQL_UNIX_PORT=f"{folder}/database.socket")
        self.wait_until(lambda: self.call("sacctmgr", "--noheader", "list", "cluster") is not None, "no slurmdbd")
        add = ("sacctmgr", "--immediate", "add")
        self.call(*add, "cluster", "test")
        for account in (ACCOUNT, REFUSED_ACCOUNT):
            self.call(*add, "account", account, "cluster=test")
            self.call(*add, "user", user, f"account={account}", "cluster=test", f"defaultaccount={ACCOUNT}")

    def _daemon(self, program: str, *options: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start a daemon in the foreground of a session of its own, so that it can be waited for."""
        path = _find(program)
        if path is None:
            raise RuntimeError(f"no {program} on this machine")
        with (self.folder / f"{program}.out").open("ab") as output:
            daemon = subprocess.Popen(
                [path, *options],
                env=self._whole_environment() | variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        self._daemons.append(daemon)
        return daemon

    def _stop(self) -> None:
        """End all jobs, then all daemons, the latest first, then whatever a node could not end any more."""
        with ExitStack() as exits:
            exits.callback(self._kill)
            for daemon in self._daemons:
                exits.callback(_end, daemon)
            if self._nodes:
                self.call("scancel", f"--user={getpass.getuser()}")
                self.wait_until(lambda: not self.call("squeue", "--noheader"), "jobs are left")
        self._daemons.clear()
        self._nodes.clear()


def _end_with_parent() -> None:
    """Have the system end this process when the one that started it is gone, even where that one is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(daemon: subprocess.Popen[bytes]) -> None:
    daemon.send_signal(signal.SIGTERM)
    try:
        daemon.wait(timeout=20)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _free_ports(number: int) -> list[int]:
    """Return ports that are free now."""
    with ExitStack() as exits:
        sockets = [exits.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def main() -> None:
    """Run a cluster until Ctrl-C."""
    if missing := missing_packages():
        sys.exit(f"a cluster needs these Debian packages: {' '.join(missing)}")
    with TemporaryDirectory() as folder, Cluster(Path(folder)) as cluster:
        for name, value in cluster.environment.items():
            sys.stdout.write(f"export {name}={value}\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
