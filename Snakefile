# The workflow is in workflow/; this file lets `snakemake --cores 2` find it from the top of the clone.
include: "workflow/Snakefile"


rule default:
    default_target: True
    input:
        rules.all.input,
