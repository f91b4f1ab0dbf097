"""The reason why Snakemake failed, from its log."""

from virnucpro_kernels.run.snakemake_log import failed_job_log, last_error

_FAILED_JOB = """Shell command: virnucpro report results > logs/report.log 2>&1
RuleException:
CalledProcessError in file "workflow/rules/report.smk", line 30:
Command 'virnucpro report results > logs/report.log 2>&1' returned non-zero exit status 1.
[Thu Nov 26 18:05:37 2026]
Error in rule report:
    message: None
    jobid: 4
    output: results/report.html
    log: logs/report.log (check log file(s) for error details)
Exiting because a job execution failed. Look above for error messages
WorkflowError:
At least one job did not complete successfully.
"""


def test_a_job_without_a_message_is_told_by_its_command() -> None:
    assert last_error(_FAILED_JOB).startswith("CalledProcessError in file")
    assert "logs/report.log" in last_error(_FAILED_JOB)
    assert "None" not in last_error(_FAILED_JOB).partition("jobid")[0].partition("message")[0]


def test_the_log_of_a_failed_job_is_found() -> None:
    assert failed_job_log(_FAILED_JOB) == "logs/report.log"
    assert failed_job_log("WorkflowError: no such option") == ""


def test_a_message_of_a_job_that_could_not_be_submitted_is_the_reason() -> None:
    text = _FAILED_JOB.replace("message: None", "message: sbatch: error: invalid account")
    assert last_error(text) == "message: sbatch: error: invalid account"
