rule merge:
    """Nucleotide and protein vectors of each frame side by side, rows checked. Nothing is copied: the file points to both."""
    input:
        manifest=pool_file(file_names.MANIFEST),
        nucleotide=vector_file("nucleotide"),
        protein=vector_file("protein"),
    output:
        features=temporary_unless(vector_file("features"), "features"),
    log:
        "logs/merge/{geometry}/{pool}/{encoders}/{chunk}.log",
    priority: FINISH_FIRST
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=amount("mem_mb", merge_needs),
        runtime=amount("runtime", merge_needs),
        disk_mb=amount("disk_mb", merge_needs),
    params:
        virnucpro=virnucpro,
    shell:
        "{params.virnucpro} merge {input.nucleotide:q} {input.protein:q} --encoders {wildcards.encoders:q}"
        " --link --output {output.features:q} > {log:q} 2>&1"


rule classify:
    """Logit and probability of each frame."""
    input:
        manifest=pool_file(file_names.MANIFEST),
        features=vector_file("features"),
        # The features point to these, and Snakemake removes temporary files that no job takes any more.
        nucleotide=vector_file("nucleotide"),
        protein=vector_file("protein"),
    output:
        scores=pool_file(f"{{encoders}}/{{model}}/{{chunk}}{file_names.SCORE_SUFFIX}"),
    log:
        "logs/classify/{geometry}/{pool}/{encoders}/{model}/{chunk}.log",
    priority: FINISH_FIRST
    conda:
        "../../envs/inference.yaml"
    threads: 4
    resources:
        mem_mb=amount("mem_mb", classify_needs),
        runtime=amount("runtime", classify_needs),
        disk_mb=amount("disk_mb", classify_needs),
    params:
        virnucpro=virnucpro,
        model=model_path,
    shell:
        "{params.virnucpro} classify {input.features:q} --encoders {wildcards.encoders:q} --model {params.model:q}"
        " --output {output.scores:q} --threads {threads} > {log:q} 2>&1"


rule gather:
    """All that the tables of a pool's samples are made from, as `sha256sum --check` reads it. It stands between the
    checkpoint and the samples: Snakemake looks for changed inputs and parameters only in jobs whose inputs are known
    from the start, and those of `collect` are."""
    input:
        manifest=pool_file(file_names.MANIFEST),
        contigs=pool_file(file_names.CONTIGS),
        windows=pool_file(file_names.WINDOWS),
        scores=pool_scores,
    output:
        checksums=pool_file(f"{{encoders}}/{{model}}/{file_names.GATHERED}"),
    log:
        "logs/gather/{geometry}/{pool}/{encoders}/{model}.log",
    priority: FINISH_FIRST
    localrule: True
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=100,
        runtime=10,
    params:
        folder=subpath(output.checksums, parent=True),
        suffix=file_names.SCORE_SUFFIX,
        tables=[file_names.MANIFEST, file_names.CONTIGS, file_names.WINDOWS],
    shell:
        "(tail -n +2 {input.manifest:q} | cut -f 1 | sed 's/$/{params.suffix}/' &&"
        " printf '../../%s\n' {params.tables})"
        " | (CDPATH= cd {params.folder:q} && xargs sha256sum) > {output.checksums:q} 2> {log:q}"
