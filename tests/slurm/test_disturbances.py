"""`virnucpro predict --profile` on a cluster on which much goes wrong: the bytes are those of a run on one machine."""

import subprocess
import time
from pathlib import Path

from tests.helpers.runs import checksums
from tests.slurm.cluster import Cluster
from tests.slurm.configuration import ACCOUNT
from tests.slurm.runs import (
    LIMIT,
    UNCOMPARED,
    EmbedJob,
    embed_jobs,
    embed_record,
    is_alive,
    park,
    predict_command,
    resumed,
    running,
    write_inputs,
    write_profile,
)
from virnucpro_kernels.pool.manifest import read_manifest


class Disturber:
    """Disturbs each of the first embedding jobs in another way, in the midst of its chunk.

    Attributes:
        victims: Disturbed job of each kind of disturbance.
        ends: What the record of a disturbed job said when its process was gone.
        resumed: How many sequences the attempt that completed the chunk found done.
        first: First Slurm job of each chunk; later ones are in `again`, in their order.
        gpus: GPUs of the jobs that were at work at one time, by their numbers in Slurm.
    """

    def __init__(self, cluster: Cluster, out: Path) -> None:
        self._cluster, self._out = cluster, out
        self._suspended: list[EmbedJob] = []
        self._done: set[str] = set()
        self._to_do = ["time limit", "memory", "scancel", "preemption"]
        self.victims: dict[str, EmbedJob] = {}
        self.ends: dict[str, str] = {}
        self.resumed: dict[str, int] = {}
        self.first: dict[str, int] = {}
        self.again: dict[str, list[int]] = {}
        self.gpus: list[dict[str, str]] = []

    def watch(self, run: subprocess.Popen[bytes]) -> None:
        """Disturb the jobs of a run until it has ended."""
        end = time.monotonic() + LIMIT
        while run.poll() is None:
            assert time.monotonic() < end, "the run did not end"
            self._look()
            while self._suspended:
                job = self._suspended.pop(0)
                park(job, self._out, meanwhile=self._look)
                self.victims[self._to_do.pop(0)] = job
            self._disturb()
            time.sleep(0.1)

    def _look(self) -> None:
        """Note which jobs are at work, and suspend new ones that are to be disturbed."""
        jobs = embed_jobs(self._out)
        self.gpus.append({job.slurm_id: job.gpus for job in jobs})
        for job in jobs:
            number = int(job.slurm_id)
            if job.chunk not in self.first:
                self.first[job.chunk] = number
                self.again[job.chunk] = []
                if len(self._suspended) < len(self._to_do):
                    job.process.suspend()
                    self._suspended.append(job)
            elif number not in (self.first[job.chunk], *self.again[job.chunk]):
                self.again[job.chunk].append(number)

    def _disturb(self) -> None:
        """Disturb each parked job once; the preemption, which takes both GPUs, waits for the end of the others."""
        for kind, job in self.victims.items():
            record = embed_record(self._out, job.chunk)
            if kind not in self.ends and not is_alive(job):
                self.ends[kind] = str(record.get("error", ""))
            elif kind in self.ends and record.get("state") == "complete":
                # The first time only: the preemption may hit a job whose chunk is done, and which is then done again.
                self.resumed.setdefault(kind, resumed(record))
        for kind in self.victims.keys() - self._done:
            if kind != "preemption" or len(self.ends) == len(self.victims) - 1:
                self._disturb_one(kind, self.victims[kind])
                self._done.add(kind)

    def _disturb_one(self, kind: str, job: EmbedJob) -> None:
        if kind == "time limit":
            self._cluster.call("scontrol", "update", f"JobId={job.slurm_id}", "EndTime=now+1")
        elif kind == "memory":
            job.process.kill()  # as the system does with the process that takes too much
        elif kind == "scancel":
            self._cluster.call("scancel", job.slurm_id)
        else:
            more = ("--mem=100", "--time=1", "--gpus=2", f"--account={ACCOUNT}", "--output=/dev/null", "--wrap=sleep 1")
            self._cluster.call("sbatch", "--partition=urgent", *more)


def test_disturbed_jobs_go_on_inside_their_chunks(cluster: Cluster, expected: dict[str, str], tmp_path: Path) -> None:
    """A time limit, a job killed for its memory, scancel, and a preemption, in one run; and a sample without use."""
    out, inputs = tmp_path / "out", write_inputs(tmp_path / "inputs")
    disturber = Disturber(cluster, out)
    of_site = ["mem_mb=2000", "runtime=30", f"slurm_account='{ACCOUNT}'", "slurm_partition='gpu'", "qos='normal'"]
    profile = write_profile(tmp_path / "site", **{"default-resources": of_site})
    command = predict_command(out, *inputs, "--profile", profile)
    with running(command, cluster, tmp_path) as run:
        disturber.watch(run)
    said = (tmp_path / "output.txt").read_text()
    assert run.returncode == 2, said + (out / "logs" / "snakemake.log").read_text()
    assert checksums(out, without=UNCOMPARED) == expected

    # Each job saw one GPU of its own, and both were used at once.
    together = [seen for seen in disturber.gpus if len(seen) > 1]
    assert together
    assert all(sorted(seen.values()) == ["0", "1"] for seen in together)
    assert {gpu for seen in disturber.gpus for gpu in seen.values()} == {"0", "1"}

    fields = "--format=JobIDRaw,State,ReqMem,TimelimitRaw"
    rows = [line.split("|") for line in cluster.call("sacct", "-XDPn", fields).splitlines()]
    states = {(int(number), state.split()[0]) for number, state, *_ in rows}
    asked = {int(number): (int(memory.rstrip("M")), int(minutes)) for number, _, memory, minutes in rows}
    state_of = {"time limit": "TIMEOUT", "memory": "FAILED", "scancel": "CANCELLED", "preemption": "PREEMPTED"}
    for kind, job in disturber.victims.items():
        assert (int(job.slurm_id), state_of[kind]) in states
        assert disturber.resumed[kind] > 0, f"after {kind}, the chunk was begun anew"
        if kind == "preemption":  # Slurm itself started the job again
            assert disturber.again[job.chunk] == []
            assert (int(job.slurm_id), "COMPLETED") in states
        else:
            (number,) = disturber.again[job.chunk]
            assert asked[number] == tuple(2 * first for first in FIRST_REQUEST)
            assert (number, "COMPLETED") in states
        if kind != "memory":
            assert disturber.ends[kind].startswith("StoppedError: stopped"), disturber.ends[kind]
    assert asked[int(disturber.victims["memory"].slurm_id)] == FIRST_REQUEST

    # Longest first; two are submitted at a time.
    (manifest,) = out.glob("work/*/*/chunks.tsv")
    tokens = {chunk.chunk: chunk.protein_tokens for chunk in read_manifest(manifest)}
    in_order = [tokens[chunk] for chunk in sorted(disturber.first, key=lambda chunk: disturber.first[chunk])]
    assert min(in_order[:2]) >= max(in_order[2:])

    # The logs of failed jobs stay.
    assert len(list((out / ".snakemake" / "slurm_logs" / "rule_collect" / "bad").iterdir())) == 1
    assert "sample bad: split (exit code 5): InputError" in said


#: Memory (MB) and time (minutes) of an embedding job of the smallest chunk.
FIRST_REQUEST = (2503, 21)
