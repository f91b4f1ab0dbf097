"""The configuration of a test cluster: slurm.conf and the files that belong to it."""

import getpass
import os
import socket
from collections.abc import Mapping
from pathlib import Path

GPUS_OF_A_NODE = 2
#: The account that may use every partition, and one that is not allowed in partition gpu.
ACCOUNT, REFUSED_ACCOUNT = "lab", "closed"
HOST = socket.gethostname().partition(".")[0]


def write_configuration(
    folder: Path, control: int, nodes: Mapping[str, int], database: int | None, release: tuple[int, int]
) -> None:
    """Write slurm.conf, gres.conf, cgroup.conf, and the devices that stand for GPUs.

    Args:
        folder: Folder of the cluster.
        control: Port of the controller.
        nodes: Port of each node, by its name.
        database: Port of the accounting database; None for a cluster without accounting.
        release: Year and month of Slurm's version.
    """
    for node in nodes:
        for gpu in range(GPUS_OF_A_NODE):
            (folder / f"{node}-gpu{gpu}").symlink_to(os.devnull)
    devices = [f"NodeName={node} Name=gpu Type=fake File={folder}/{node}-gpu[0-{GPUS_OF_A_NODE - 1}]" for node in nodes]
    (folder / "gres.conf").write_text("\n".join(["AutoDetect=off", *devices]) + "\n")
    (folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n" if release >= (24, 5) else "")
    lines = [_common(folder, control), _accounting(folder, database), *map(_node, nodes, nodes.values())]
    (folder / "slurm.conf").write_text("\n".join([*lines, _partitions(database is not None)]))


def _common(folder: Path, control: int) -> str:
    user = getpass.getuser()
    return f"""
ClusterName=test
SlurmctldHost={HOST}(127.0.0.1)
SlurmctldPort={control}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# A requeued job starts again after cred_expire seconds, and is launched within as many: an eighth of the default.
AuthInfo=socket={folder}/munge.socket,cred_expire=15
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
GresTypes=gpu
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
# What a partition does not allow is refused at once, and does not wait in the queue for ever.
EnforcePartLimits=ALL
# A killed job has that many seconds between SIGTERM and SIGKILL: a third of Slurm's default.
KillWait=10
"""


def _accounting(folder: Path, port: int | None) -> str:
    if port is None:
        return "AccountingStorageType=accounting_storage/none"
    return f"""AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={folder}/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStorageEnforce=associations"""


def _node(name: str, port: int) -> str:
    return (
        f"NodeName={name} NodeHostname={HOST} NodeAddr=127.0.0.1 Port={port} CPUs=8 RealMemory=32000 Feature=large"
        f" Gres=gpu:fake:{GPUS_OF_A_NODE}"
    )


def _partitions(accounting: bool) -> str:
    allowed = f" AllowAccounts={ACCOUNT}" if accounting else ""
    return f"""PartitionName=gpu Nodes=n1 Default=YES PriorityTier=1{allowed}
PartitionName=both Nodes=ALL PriorityTier=1
PartitionName=urgent Nodes=n1 PriorityTier=2 PreemptMode=OFF
"""


def write_database_configuration(folder: Path, port: int) -> None:
    """Write slurmdbd.conf, which only its owner may read."""
    path = folder / "slurmdbd.conf"
    path.write_text(
        f"""
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost={HOST}
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser={getpass.getuser()}
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm
"""
    )
    path.chmod(0o600)
