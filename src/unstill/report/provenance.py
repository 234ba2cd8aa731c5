"""The last section of every report: how to compute its numbers again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from unstill.report.numbers import number


def provenance_html(record: Mapping[str, Any]) -> str:
    """HTML of a provenance record: command, input digests, seed, parameters, versions."""
    parameters = dict(record.get("parameters") or {})
    inputs = list(record.get("inputs") or ())
    versions = dict(record.get("versions") or {})
    rows = "".join(
        f"<tr><th scope='row'>{escape(str(entry['path']))}</th>"
        f"<td class='num'>{number(entry['bytes'], 0)}</td>"
        f"<td class='digest'>{escape(str(entry['sha256']))}</td></tr>"
        for entry in inputs
    )
    table = (
        "<div class='scroll'><table class='wide'><thead><tr><th>Input</th>"
        "<th class='num'>Size<span class='unit'>bytes</span></th><th>sha256</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
        if inputs
        else ""
    )
    seed = record.get("seed")
    return (
        "<p>What it takes to compute every number on this page again.</p>"
        f"<pre>{escape(command_line(record))}</pre>{table}"
        f"<p class='table-note'>Seed of the random numbers: {escape(str(seed))}.</p>"
        f"<details><summary>Parameters</summary><pre>{_json(parameters)}</pre></details>"
        f"<details><summary>Versions</summary><pre>{_json(versions)}</pre></details>"
    )


def command_line(record: Mapping[str, Any]) -> str:
    """Return the command that was run, as recorded, or the name of the function."""
    parameters = record.get("parameters") or {}
    typed = parameters.get("command_line") if isinstance(parameters, Mapping) else None
    return str(typed or record.get("command", ""))


def _json(value: Mapping[str, Any]) -> str:
    return escape(json.dumps(value, indent=2, ensure_ascii=False))
