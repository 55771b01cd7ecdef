"""`akeso dev`: the whole product on this machine. What that means stands in `shared.dev`; here are only its flags."""

import json
from pathlib import Path
from typing import Annotated

import typer

from shared.cli import _out


def command(
    *,
    once: Annotated[
        bool, typer.Option("--once", help="End after both incidents; status 0 only if one is verified.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no incidents: for scripts.")] = False,
    ready_file: Annotated[Path | None, typer.Option(help="Where to write the addresses once all serves.")] = None,
    kubeconfig: Annotated[Path | None, typer.Option(help="A real cluster instead of the emulated one.")] = None,
    sample: Annotated[
        bool, typer.Option("--sample", help="Start two ill workloads on the real cluster, and remove them at the end.")
    ] = False,
    redis: Annotated[str, typer.Option(help="URL of a running Redis instead of the embedded one.")] = "",
    speed: Annotated[float, typer.Option(min=0.01, max=10_000, help="How fast clock time runs.")] = 1.0,
    sync: Annotated[bool, typer.Option("--sync", help="Let the broker answer only after the whole chain.")] = False,
    folder: Annotated[Path, typer.Option(help="Where state, logs and keys are kept.")] = Path("build/dev"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the ready file once all serves, and nothing else.")
    ] = False,
) -> int:
    """Serve all of it on this machine: for trying, not for production."""
    if kubeconfig is not None and not kubeconfig.is_file():
        raise _out.Problem(f"--kubeconfig {kubeconfig}: no such file")
    if sample and kubeconfig is None:
        raise _out.Problem("--sample goes with --kubeconfig; the emulated cluster has its sample anyhow")
    from shared.dev.up import Options, serve

    options = Options(
        once=once, quiet=quiet or as_json, ready_file=ready_file, kubeconfig=kubeconfig, sample=sample,
        redis=redis, speed=speed, sync=sync, folder=folder,
    )  # fmt: skip
    if not as_json:
        return serve(options)
    return serve(
        options,
        prepare=lambda world, _: _out.show_json(json.loads((ready_file or world.folder / "ready.json").read_text())),
    )
