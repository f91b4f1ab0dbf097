"""`virnucpro doctor`: whether this installation can work here."""

import typer

from virnucpro_kernels.cli.options import ModelsDir


def doctor(models_dir: ModelsDir = None) -> None:
    """Say what is installed and found here, and what to do where a run would fail. Exit code 1 where one would."""
    from virnucpro_kernels.tools.doctor import diagnose

    findings = list(diagnose(models_dir))
    for finding in findings:
        typer.echo(f"{finding.severity:<8} {finding.subject:<10} {finding.text}")
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(1)
