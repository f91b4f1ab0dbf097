"""The reason why Snakemake itself failed, from its log."""

import re

#: A line that begins an error: of Snakemake, a plugin or Python, or the message of a job that could not be submitted.
_ERROR = re.compile(r"(?:snakemake: )?error\b|[\w.]*(?:Error|Exception)\b|\s*message: (?!None$)", re.IGNORECASE)
#: Lines that say nothing of the reason.
_OTHER = re.compile(
    r"\s*$|Error in rule |Using |Building DAG|Shutting down|Exiting because|Complete log|Elapsed time|Removing output"
    r"|usage:|Finished job|\[\w{3} \w{3} "
)
_LINES = 6
#: The line of a failed job that names its log.
_JOB_LOG = re.compile(r"^ +log: (.+) \(check log file\(s\) for error details\)$", re.MULTILINE)


def last_error(text: str) -> str:
    """Return the last error in the output of Snakemake, in a few lines; its last lines where no error is recognised."""
    text = re.sub(r"WorkflowError:\s*\n\s*At least one job did not complete.*", "", text)
    lines = [line.rstrip() for line in text.splitlines() if not _OTHER.match(line)]
    first = max((number for number, line in enumerate(lines) if _ERROR.match(line)), default=len(lines) - _LINES)
    error = "\n".join(lines[max(first, 0) :][:_LINES])
    if error.lstrip().startswith("message: "):
        # The next of Snakemake's own lines are indented; the message itself may go on in lines that are not.
        return error.strip().partition("\n    ")[0].partition("For further error details")[0]
    return error


def failed_job_log(text: str) -> str:
    """Return the log that the last failed job names in the output of Snakemake; empty without such a job."""
    logs: list[str] = _JOB_LOG.findall(text)
    return logs[-1] if logs else ""
