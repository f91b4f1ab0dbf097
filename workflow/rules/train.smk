from virnucpro_kernels.run.training import DRAWN, MODELS
from virnucpro_kernels.train.drawn import FILE_LIST, WINDOW_FASTA, WINDOW_LIST


rule refseq:
    """The original's training set. Nothing asks for it: name its table as the target, then as `genomes`."""
    output:
        table="refseq/genomes.tsv",
    log:
        "logs/refseq.log",
    localrule: True
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=2880,
    params:
        virnucpro=virnucpro,
        seed=RUN.training["seed"],
        directory=subpath(output.table, parent=True),
    shell:
        "{params.virnucpro} refseq {params.directory:q} --seed {params.seed} > {log:q} 2>&1"


rule draw:
    """Windows of the genomes, drawn evenly from categories and groups."""
    input:
        table=local(RUN.training["genomes"]),
        genomes=genome_files,
    output:
        fasta=str(DRAWN / WINDOW_FASTA),
        windows=str(DRAWN / WINDOW_LIST),
        files=str(DRAWN / FILE_LIST),
    log:
        "logs/draw.log",
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=240,
    params:
        virnucpro=virnucpro,
        window_length=RUN.model.window_length,
        layout=RUN.model.layout,
        frames=RUN.training["frames"],
        numbers=f"--windows {RUN.training['windows']} --held-out-windows {RUN.training['held_out_windows']}",
        short_share=RUN.training["short_share"],
        seed=RUN.training["seed"],
        directory=subpath(output.windows, parent=True),
    shell:
        "{params.virnucpro} draw {input.table:q} --output-dir {params.directory:q}"
        " --window-length {params.window_length} --layout {params.layout} --frames {params.frames}"
        " {params.numbers} --short-share {params.short_share} --seed {params.seed} > {log:q} 2>&1"


rule fit:
    """The classifier trained on the features, measured, and written with its encoders as a model directory."""
    input:
        windows=rules.draw.output.windows,
        files=rules.draw.output.files,
        manifest=str(RUN.split_dir(POOL) / file_names.MANIFEST),
        features=training_features,
    output:
        directory(str(MODELS / RUN.training["name"])),
    log:
        "logs/fit.log",
    conda:
        "../../envs/inference.yaml"
    # More of them gain little on a CPU, and with their number the last digits would change.
    threads: 1
    resources:
        mem_mb=amount("mem_mb", fit_needs),
        runtime=amount("runtime", fit_needs),
        gpu=1 if RUN.device == "cuda" else 0,
    params:
        virnucpro=virnucpro,
        base=model_path,
        window_length=RUN.model.window_length,
        layout=RUN.model.layout,
        drawn=subpath(input.windows, parent=True),
        pool=subpath(input.manifest, parent=True),
        encoders=RUN.encoders,
        frames=RUN.training["frames"],
        recipe=RUN.training["recipe"],
        seed=RUN.training["seed"],
        device=RUN.device,
        checkpoint=str(DRAWN / f"{RUN.training['name']}.checkpoint"),
    shell:
        "{params.virnucpro} fit {params.drawn:q} --pool {params.pool:q} --encoders {params.encoders:q}"
        " --base {params.base:q} --window-length {params.window_length} --layout {params.layout}"
        " --frames {params.frames} --recipe {params.recipe} --seed {params.seed}"
        " --checkpoint {params.checkpoint:q} --device {params.device} --threads {threads}"
        " --output {output:q} > {log:q} 2>&1"
