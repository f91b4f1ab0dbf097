rule report:
    """The results of all samples as one page, and its figures as files."""
    input:
        contigs=all_samples(file_names.CONTIG_TABLE),
        regions=all_samples(file_names.REGION_TABLE),
        windows=all_samples(file_names.WINDOW_TABLE),
        records=all_samples(file_names.RUN_RECORD),
    output:
        **{
            name: report(path, caption=f"../report/{name}.rst", category="Figures", labels={"figure": name})
            for name, path in RUN.report.items()
            if name in file_names.FIGURE_NAMES
        },
        multiqc=[path for path in RUN.report.values() if path.name in file_names.MULTIQC_TABLES],
        page=report(RUN.report["page"], caption="../report/page.rst", category="Report", labels={"file": "page"}),
    log:
        "logs/report.log",
    conda:
        "../../envs/report.yaml"
    threads: 1
    resources:
        mem_mb=amount("mem_mb", report_needs),
        runtime=amount("runtime", report_needs),
    params:
        virnucpro=virnucpro,
        samples=[run.result_name(sample) for run in RUN.settings for sample in POOL_OF],
        results=subpath(output.page, parent=True),
        figures=subpath(output.calls, parent=True),
    shell:
        "{params.virnucpro} report {params.results:q} {params.samples}"
        " --output {output.page:q} --figures {params.figures:q} --multiqc {params.results:q} > {log:q} 2>&1"
