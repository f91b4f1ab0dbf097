checkpoint split:
    """Contigs to windows, frames and length-sorted chunks; the manifest says what work follows. A sample whose file
    cannot be used does not keep the others of its pool from going on: it is left out, and its `collect` fails. That
    holds for the only sample of a pool, too, so that a job is not tried again where trying again is of no use."""
    input:
        sequences=pool_sequences,
    output:
        contigs=pool_file(file_names.CONTIGS),
        windows=pool_file(file_names.WINDOWS),
        unusable=pool_file(file_names.UNUSABLE),
        manifest=pool_file(file_names.MANIFEST),
    log:
        "logs/split/{geometry}/{pool}.log",
    benchmark:
        "logs/benchmarks/split/{geometry}/{pool}.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: 4
    resources:
        mem_mb=amount("mem_mb", split_needs),
        runtime=amount("runtime", split_needs),
        disk_mb=amount("disk_mb", split_needs),
    params:
        virnucpro=virnucpro,
        samples=pool_samples,
        window_length=of_run(lambda run: run.model.window_length),
        layout=of_run(lambda run: run.layout),
        min_segment=of_run(lambda run: run.config["min_segment"]),
        min_length=RUN.config["min_length"],
        duplicate_ids=RUN.config["duplicate_ids"],
        chunk_tokens=RUN.config["chunk_tokens"],
        min_chunks=RUN.config["min_chunks"],
        directory=subpath(output.manifest, parent=True),
    shell:
        "{params.virnucpro} split {params.samples:q} --output-dir {params.directory:q}"
        " --window-length {params.window_length} --layout {params.layout}"
        " --min-segment {params.min_segment}"
        " --min-length {params.min_length} --duplicate-ids {params.duplicate_ids}"
        " --chunk-tokens {params.chunk_tokens} --min-chunks {params.min_chunks}"
        " --threads {threads} --allow-empty > {log:q} 2>&1"
