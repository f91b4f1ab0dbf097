rule collect:
    """Scores of frames to windows and contigs: the tables of one sample."""
    input:
        contigs=of_pool("contigs.parquet"),
        windows=of_pool("windows.parquet"),
        manifest=of_pool("chunks.tsv"),
        scores=sample_scores,
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
    container:
        RUN.config["container"]
    threads: 1
    resources:
        mem_mb=amount("mem_mb", collect_needs),
        runtime=amount("runtime", collect_needs),
        disk_mb=amount("disk_mb", collect_needs),
    params:
        virnucpro=virnucpro,
        model=model_path,
        scores=score_folder,
        original_files=RUN.config["original_files"],
        sequences=sample_input,
        directory=subpath(output.contigs, parent=True),
    shell:
        "{params.virnucpro} collect --sample {wildcards.sample} --inputs {params.sequences:q}"
        " --contigs {input.contigs:q} --windows {input.windows:q} --manifest {input.manifest:q}"
        " --scores-dir {params.scores:q} --model {params.model:q}"
        " --original-files {params.original_files} --output-dir {params.directory:q} > {log:q} 2>&1"
