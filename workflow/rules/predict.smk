rule merge:
    """Nucleotide and protein vectors of each frame side by side, rows checked."""
    input:
        manifest="work/{geometry}/{pool}/chunks.tsv",
        nucleotide="work/{geometry}/{pool}/{encoders}/{chunk}.nucleotide.h5",
        protein="work/{geometry}/{pool}/{encoders}/{chunk}.protein.h5",
    output:
        features=temporary_unless(
            "features",
            "work/{geometry}/{pool}/{encoders}/{chunk}.features.h5",
        ),
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
        "{params.virnucpro} merge {input.nucleotide:q} {input.protein:q}" " --output {output.features:q} > {log:q} 2>&1"


rule classify:
    """Logit and probability of each frame."""
    input:
        manifest="work/{geometry}/{pool}/chunks.tsv",
        features="work/{geometry}/{pool}/{encoders}/{chunk}.features.h5",
    output:
        scores="work/{geometry}/{pool}/{encoders}/{model}/{chunk}.parquet",
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
        "{params.virnucpro} classify {input.features:q} --model {params.model:q}"
        " --output {output.scores:q} > {log:q} 2>&1"


rule gather:
    """All that the tables of a pool's samples are made from, as `sha256sum --check` reads it. It stands between the
    checkpoint and the samples: Snakemake looks for changed inputs and parameters only in jobs whose inputs are known
    from the start, and those of `collect` are."""
    input:
        manifest="work/{geometry}/{pool}/chunks.tsv",
        contigs="work/{geometry}/{pool}/contigs.parquet",
        windows="work/{geometry}/{pool}/windows.parquet",
        scores=pool_scores,
    output:
        checksums="work/{geometry}/{pool}/{encoders}/{model}/gathered.sha256",
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
    shell:
        "(tail -n +2 {input.manifest:q} | cut -f 1 | sed 's/$/.parquet/' &&"
        " printf '../../%s\n' chunks.tsv contigs.parquet windows.parquet)"
        " | (CDPATH= cd {params.folder:q} && xargs sha256sum) > {output.checksums:q} 2> {log:q}"
