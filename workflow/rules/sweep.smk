rule sweep:
    """The settings of a sweep side by side: a row for each setting and sample, and a figure."""
    input:
        contigs=all_samples(file_names.CONTIG_TABLE),
        records=all_samples(file_names.RUN_RECORD),
    output:
        table=report(RUN.comparison[0], caption="../report/sweep.rst", category="Sweep", labels={"file": "table"}),
        figure=report(RUN.comparison[1], caption="../report/sweep.rst", category="Sweep", labels={"file": "figure"}),
    log:
        "logs/sweep.log",
    conda:
        "../../envs/tables.yaml"
    threads: 1
    resources:
        mem_mb=amount("mem_mb", sweep_needs),
        runtime=amount("runtime", sweep_needs),
    params:
        virnucpro=virnucpro,
        settings=",".join(run.setting for run in RUN.settings),
        samples=list(POOL_OF),
        directory=subpath(output.table, parent=True),
    shell:
        "{params.virnucpro} sweep {params.directory:q} {params.samples}"
        " --settings {params.settings:q} --table {output.table:q} --figure {output.figure:q} > {log:q} 2>&1"
