# The training of a classifier: windows of genomes, embedded by the rules of prediction, become a model directory.
from pathlib import Path

from snakemake.utils import min_version

min_version("9.21.1")

OWN_CONFIG = bool(Path("config/training.yaml").exists() or workflow.overwrite_configfiles or "genomes" in config)

if not OWN_CONFIG:

    configfile: workflow.source_path("../config/training.yaml")

elif Path("config/training.yaml").exists():

    configfile: "config/training.yaml"


include: "rules/common.smk"


container: RUN.config["container"]


include: "rules/split.smk"
include: "rules/embed.smk"
include: "rules/predict.smk"
include: "rules/train.smk"


rule all:
    default_target: True
    input:
        rules.fit.output,


onstart:
    hold_for_snakemake(HERE)
    heed_in_thread(signal.SIGTERM)
