rule collect:
    """Scores of frames to windows and contigs: the tables of one sample. It fails where the split left the sample out,
    which the file beside the manifest says."""
    input:
        sequences=sample_input,
        contigs=of_pool("contigs.parquet"),
        windows=of_pool("windows.parquet"),
        manifest=of_pool("chunks.tsv"),
        unusable=unusable_samples,
        gathered=sample_scores,
    output:
        contigs=report(
            "results/{sample}/contigs.tsv",
            caption="../report/contigs.rst",
            category="Contigs",
            labels={"sample": "{sample}", "table": "contigs"},
        ),
        windows=report(
            "results/{sample}/windows.tsv",
            caption="../report/windows.rst",
            category="Windows",
            labels={"sample": "{sample}", "table": "windows"},
        ),
        frames="results/{sample}/frames.tsv.gz",
        viral="results/{sample}/viral.fna.gz",
        run=report(
            "results/{sample}/run.json",
            caption="../report/run.rst",
            category="Provenance",
            labels={"sample": "{sample}", "table": "run"},
        ),
        original=original_files(),
    log:
        "logs/collect/{sample}.log",
    benchmark:
        "logs/benchmarks/collect/{sample}.tsv"
    priority: FINISH_FIRST
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=amount("mem_mb", collect_needs),
        runtime=amount("runtime", collect_needs),
        disk_mb=amount("disk_mb", collect_needs),
    params:
        virnucpro=virnucpro,
        model=model_path,
        scores=subpath(input.gathered, parent=True),
        original_files=RUN.config["original_files"],
        thresholds=threshold_options(),
        directory=subpath(output.contigs, parent=True),
    shell:
        "{params.virnucpro} collect --sample {wildcards.sample} --inputs {input.sequences:q}"
        " --contigs {input.contigs:q} --windows {input.windows:q} --manifest {input.manifest:q}"
        " --scores-dir {params.scores:q} --model {params.model:q}"
        " {params.thresholds} --original-files {params.original_files} --output-dir {params.directory:q} > {log:q} 2>&1"
