rule collect:
    """Scores of frames to windows and contigs: the tables of one sample. It fails where the split left the sample out,
    which the file beside the manifest says."""
    input:
        sequences=sample_inputs,
        contigs=of_pool(file_names.CONTIGS),
        windows=of_pool(file_names.WINDOWS),
        manifest=of_pool(file_names.MANIFEST),
        unusable=unusable_samples,
        gathered=sample_scores,
    output:
        contigs=report(
            sample_file(file_names.CONTIG_TABLE),
            caption="../report/contigs.rst",
            category="Contigs",
            labels={"sample": SAMPLE, "table": "contigs"},
        ),
        parquet=sample_file(file_names.CONTIG_PARQUET),
        windows=report(
            sample_file(file_names.WINDOW_TABLE),
            caption="../report/windows.rst",
            category="Windows",
            labels={"sample": SAMPLE, "table": "windows"},
        ),
        frames=sample_file(file_names.FRAME_TABLE),
        regions=report(
            sample_file(file_names.REGION_TABLE),
            caption="../report/regions.rst",
            category="Regions",
            labels={"sample": SAMPLE, "table": "regions"},
        ),
        bed=sample_file(file_names.REGION_BED),
        gff=sample_file(file_names.REGION_GFF),
        track=sample_file(file_names.SCORE_TRACK),
        viral=sample_file(file_names.VIRAL_FASTA),
        viral_regions=sample_file(file_names.REGION_FASTA),
        run=report(
            sample_file(file_names.RUN_RECORD),
            caption="../report/run.rst",
            category="Provenance",
            labels={"sample": SAMPLE, "table": "run"},
        ),
        original=original_files(),
    log:
        f"logs/collect/{SAMPLE}.log",
    benchmark:
        f"logs/benchmarks/collect/{SAMPLE}.tsv"
    priority: FINISH_FIRST
    # A sample that was left out would fail at every attempt, each of them a job in the queue of a cluster. What the others
    # need is known beforehand: collect streams.
    retries: 0
    conda:
        "../../envs/tables.yaml"
    threads: collect_threads
    resources:
        mem_mb=amount("mem_mb", collect_needs),
        runtime=amount("runtime", collect_needs),
        disk_mb=amount("disk_mb", collect_needs),
    params:
        virnucpro=virnucpro,
        inputs=inputs_options,
        model=model_path,
        scores=subpath(input.gathered, parent=True),
        original_files=RUN.config["original_files"],
        reads=RUN.config["reads"],
        thresholds=threshold_options,
        directory=subpath(output.contigs, parent=True),
    shell:
        "{params.virnucpro} collect --sample {wildcards.sample} {params.inputs:q}"
        " --contigs {input.contigs:q} --windows {input.windows:q} --manifest {input.manifest:q}"
        " --scores-dir {params.scores:q} --model {params.model:q}"
        " {params.thresholds} --original-files {params.original_files} --reads {params.reads}"
        " --output-dir {params.directory:q} --threads {threads} > {log:q} 2>&1"
