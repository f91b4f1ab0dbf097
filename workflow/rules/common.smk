# What the rules share: the run that the configuration describes, input functions, requirements, the command.
import shlex
import signal
import sys
import time
from functools import cache
from pathlib import Path

ROOT = Path(workflow.current_basedir.get_path_or_uri(secret_free=False)).parents[1]
if (ROOT / "virnucpro_kernels").is_dir():
    sys.path.insert(0, str(ROOT))
else:
    sys.path.append(str(ROOT.parents[1]))

from snakemake.exceptions import WorkflowError

from virnucpro_kernels.errors import VirnucproError
from virnucpro_kernels.pool import file_names
from virnucpro_kernels.pool.manifest import read_manifest
from virnucpro_kernels.run import requirements
from virnucpro_kernels.run.failures import remove_old_report, write_failures
from virnucpro_kernels.run.installation import python_path
from virnucpro_kernels.run.leftovers import remove_all_leftovers
from virnucpro_kernels.run.locks import hold_for_snakemake
from virnucpro_kernels.run.mend import mend_after_failures, mend_tables
from virnucpro_kernels.run.pools import POOLS, keep_pools
from virnucpro_kernels.run.run import load_run
from virnucpro_kernels.run.signals import heed_in_thread
from virnucpro_kernels.run.summary_table import write_summary
from virnucpro_kernels.run.training import POOL, load_training
from virnucpro_kernels.score.thresholds import Thresholds
from virnucpro_kernels.train.genomes import read_genomes

# Where work/ and results/ lie: the working directory, or the prefix under which another workflow uses this one.
HERE = Path(workflow.modifier.modify_path("work")).parent


wildcard_constraints:
    geometry=r"\d+-(original|even|segments)(-\d+)?",
    pool=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    setting=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    sample=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    chunk=r"\d+",
    encoders=r"[^/]+",
    model=r"[^/]+",


# The executor is not known yet, but only one that submits jobs has a limit of them.
ON_CLUSTER = workflow.remote_exec or workflow.resource_settings.nodes is not None


def stop(error):
    """Stop with the message of an error. A damaged table is set aside before, so that the next start makes it again."""
    mend_tables(HERE)
    raise WorkflowError(str(error)) from error


def find_run():
    """The run that the configuration describes."""
    try:
        if "genomes" in config:
            return load_training(config, on_cluster=ON_CLUSTER)
        return load_run(
            config,
            sheet_folders=[Path()] if OWN_CONFIG else [Path(), ROOT],
            pools=HERE / POOLS,
            on_cluster=ON_CLUSTER,
        )
    except VirnucproError as error:
        stop(error)


STARTED = time.time()
RUN = find_run()
POOLED = RUN.pools
SAMPLES = {sample.name: sample for sample in RUN.samples}
# Path of a sample's results and logs below those of the run: in a sweep, each setting has a folder.
SAMPLE = "{setting}/{sample}" if RUN.setting else "{sample}"
POOL_OF = {sample.name: pool for pool, samples in POOLED.items() for sample in samples}


def run_of(wildcards):
    """The run of a job; in a sweep, the first setting to which the job belongs."""
    try:
        return RUN.of_job(wildcards)
    except VirnucproError as error:
        raise WorkflowError(str(error)) from error


def of_run(value):
    """A function of a job: `value` of its run."""
    return lambda wildcards: value(run_of(wildcards))


def virnucpro(wildcards, input):
    """The command, for the Python of the job's environment if it has one. A function of `input`, so that a moved
    installation reruns nothing."""
    deployed = bool(workflow.deployment_settings.deployment_method)
    python = "python" if deployed else shlex.quote(sys.executable)
    return f"PYTHONPATH={shlex.quote(str(python_path(Path())))} {python} -P -m virnucpro_kernels"


def model_path(wildcards, input):
    """Where the model lies. What it is stands in the path of the outputs, so that a moved model reruns nothing."""
    return str(run_of(wildcards).model.directory.resolve())


def window_length_option(wildcards, input):
    """The length of the windows, as `embed` takes it, in a training, whose windows need not be those of its base. A
    function of `input`, because the length stands in the path of the outputs."""
    return f"--window-length {RUN.model.window_length}" if RUN.training else ""


def temporary_unless(path, *kept):
    """A large file that is removed once it is used, unless the configuration's `keep` has one of `kept`."""
    return path if set(kept) & set(RUN.config["keep"]) else temp(path)


def result_files():
    """All that the workflow makes: the files of every sample, in a sweep for every setting, and the comparison."""
    files = [path for run in RUN.settings for sample in POOL_OF for path in run.result_paths(sample)]
    return [str(path) for path in (*files, *RUN.comparison, *RUN.report.values())]


def pool_sequences(wildcards):
    """The sequence files of a pool. `local` keeps a module's prefix away from them."""
    return [local(str(path)) for sample in POOLED[wildcards.pool] for path in sample.inputs]


def pool_samples(wildcards):
    """Name and sequence files of each sample of a pool, as `split` takes them."""
    return [f"{sample.name}={path}" for sample in POOLED[wildcards.pool] for path in sample.inputs]


def pool_file(name):
    """Where a file of a pool lies, for a rule that runs once a pool or once a chunk."""
    return f"work/{{geometry}}/{{pool}}/{name}"


def vector_file(content):
    """A chunk's file of vectors: `nucleotide`, `protein` or `features`."""
    name = file_names.vector_name("{chunk}", content)
    return pool_file(f"{{encoders}}/{name}")


def sample_file(name):
    """Where a result of a sample lies."""
    return f"{RUN.results_root}/{SAMPLE}/{name}"


def all_samples(name):
    """The file of this name of every sample, in a sweep for each setting."""
    return [run.results / sample / name for run in RUN.settings for sample in POOL_OF]


def of_pool(name):
    """An input function: a file of the pool of the job's sample."""
    return lambda wildcards: str(run_of(wildcards).split_dir(POOL_OF[wildcards.sample]) / name)


def unusable_samples(wildcards):
    """The list of samples that were left out of the sample's pool. One more or less changes no table of the others."""
    return ancient(of_pool(file_names.UNUSABLE)(wildcards))


def pool_scores(wildcards):
    """The scores of all chunks of a pool, which are known once it is split."""
    manifest = checkpoints.split.get(geometry=wildcards.geometry, pool=wildcards.pool).output.manifest
    folder = run_of(wildcards).score_dir(wildcards.pool)
    return [str(folder / f"{name}{file_names.SCORE_SUFFIX}") for name in chunks_of(manifest)]


def sample_scores(wildcards):
    """The list of all that the tables of the sample's pool are made from; the scores lie beside it."""
    return str(run_of(wildcards).score_dir(POOL_OF[wildcards.sample]) / file_names.GATHERED)


def original_files():
    """The files of each sample that look as the original tool's."""
    return [sample_file(name) for name in file_names.ORIGINAL_FILES if name in RUN.result_names]


def threshold_options(wildcards):
    """Evidence, thresholds and tiers as options, all in one text: Snakemake compares the values of `params` as a set, so
    that it would not see a value that changes to that of another key."""
    config = run_of(wildcards).config
    values = {name: config[name] for name in Thresholds.__dataclass_fields__ if config[name] is not None}
    texts = {name: " ".join(map(str, value)) if isinstance(value, list) else value for name, value in values.items()}
    return " ".join(f"--{name.replace('_', '-')} {text}" for name, text in texts.items())


def sample_inputs(wildcards):
    """The sequence files of a sample: one, or the two of paired reads."""
    return [local(str(path)) for path in SAMPLES[wildcards.sample].inputs]


def inputs_options(wildcards, input):
    """The sequence files of a sample, as `collect` takes them."""
    return [f"--inputs={path}" for path in input.sequences]


def genome_files(wildcards):
    """The sequence and annotation files that the table of genomes names."""
    try:
        genomes = read_genomes(Path(RUN.training["genomes"]), RUN.training["seed"])
    except VirnucproError as error:
        stop(error)
    return [local(str(path)) for path in genomes.all_files]


def training_features(wildcards):
    """The features of all chunks of the drawn windows, which are known once they are split."""
    manifest = checkpoints.split.get(geometry=RUN.geometry, pool=POOL).output.manifest
    folder = RUN.embedding_dir(POOL)
    return [str(folder / file_names.vector_name(chunk, "features")) for chunk in chunks_of(manifest)]


def chunks_of(manifest):
    """The chunks of a manifest by name. A dry run of 10,000 chunks asks 60,000 times, so the file is read once."""
    return parse_manifest(manifest, Path(manifest).stat().st_mtime_ns)


@cache
def parse_manifest(manifest, changed_ns):
    try:
        return {chunk.chunk: chunk for chunk in read_manifest(Path(manifest))}
    except VirnucproError as error:
        stop(error)


def find_chunk(wildcards, input):
    """What the manifest says of the job's chunk."""
    return chunks_of(input.manifest)[wildcards.chunk]


def chunk_tokens(wildcards, input):
    """Priority of an embedding job: the tokens of its chunk."""
    return find_chunk(wildcards, input).protein_tokens


# Whatever follows an embedding frees disk space and finishes a sample: it goes before the next embedding.
FINISH_FIRST = 10**12


def split_needs(wildcards, input):
    return requirements.for_split(input.sequences)


def embed_needs(wildcards, input):
    run = run_of(wildcards)
    chunk, has_cache = find_chunk(wildcards, input), bool(RUN.config["embedding_cache"])
    return requirements.for_embed(chunk, run.model, run.device, run.bytes_per_value, has_cache=has_cache)


def merge_needs(wildcards, input):
    return requirements.for_merge(find_chunk(wildcards, input))


def classify_needs(wildcards, input):
    run = run_of(wildcards)
    return requirements.for_classify(find_chunk(wildcards, input), run.model, run.bytes_per_value)


def collect_needs(wildcards, input):
    return requirements.for_collect(list(chunks_of(input.manifest).values()))


def collect_threads(wildcards, input):
    return requirements.threads_for_collect(input.sequences)


def fit_needs(wildcards, input):
    return requirements.for_fit(list(chunks_of(input.manifest).values()), RUN.model)


def sweep_needs(wildcards, input):
    return requirements.for_sweep(input.contigs)


def report_needs(wildcards, input):
    return requirements.for_report([*input.contigs, *input.windows])


def amount(resource, needs):
    """A resource function: how much of `resource` a job needs, more at each attempt."""
    return lambda wildcards, input, attempt: getattr(needs(wildcards, input), resource) * attempt
