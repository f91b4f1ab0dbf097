rule embed:
    """Both encoders on one chunk: the only job that wants a GPU. What is in {encoders} decides the numbers; the custom
    resources decide only how fast they come, so changing those reruns nothing."""
    input:
        manifest=pool_file(file_names.MANIFEST),
    output:
        # Features point to the embeddings: who keeps them keeps both.
        nucleotide=temporary_unless(vector_file("nucleotide"), "embeddings", "features"),
        protein=temporary_unless(vector_file("protein"), "embeddings", "features"),
    log:
        "logs/embed/{geometry}/{pool}/{encoders}/{chunk}.log",
    benchmark:
        "logs/benchmarks/embed/{geometry}/{pool}/{encoders}/{chunk}.tsv"
    # Longest first, so that no long chunk is left over at the end.
    priority: chunk_tokens
    conda:
        "../../envs/inference.yaml"
    # On a cluster no more than the other rules ask for: a job that asks for more cores than any node has waits for ever.
    threads: 16 if RUN.device == "cpu" and not ON_CLUSTER else 4
    resources:
        mem_mb=amount("mem_mb", embed_needs),
        runtime=amount("runtime", embed_needs),
        disk_mb=amount("disk_mb", embed_needs),
        gpu=1 if RUN.device == "cuda" else 0,
        device=RUN.device,
        attention="auto",
        token_budget=0,
        paranoid=0,
        embedding_cache=RUN.config["embedding_cache"] or "",
        embedding_cache_gb=RUN.config["embedding_cache_gb"],
    params:
        virnucpro=virnucpro,
        model=model_path,
        window_length=window_length_option,
        precision=of_run(lambda run: run.precision),
        dtype=RUN.config["embedding_dtype"],
    shell:
        "{params.virnucpro} embed {input.manifest:q} --chunk {wildcards.chunk}"
        " --nucleotide {output.nucleotide:q} --protein {output.protein:q}"
        " --model {params.model:q} {params.window_length} --precision {params.precision} --embedding-dtype {params.dtype}"
        " --device {resources.device} --attention {resources.attention}"
        " --token-budget {resources.token_budget} --paranoid {resources.paranoid}"
        " --embedding-cache={resources.embedding_cache:q} --embedding-cache-gb {resources.embedding_cache_gb}"
        " --threads {threads} > {log:q} 2>&1"
