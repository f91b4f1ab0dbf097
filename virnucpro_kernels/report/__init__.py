"""What people look at: the report of a run, and its figures.

Commands use `report` and `plot`, and MultiQC loads `multiqc_module`. The others serve them: `samples` (the results that
there are), `tables` (contig tables in one pass), `tracks` and `regions` (of a few contigs), `shown` (what is shown of
contigs), `figures`, `track_figure` and `palette` (charts), `render` (charts to files), `overview`, `methods`,
`provenance` and `words` (numbers in words), `custom_content` (tables for MultiQC), `page_data` and `page` (the HTML
file).
"""
