"""Draws docs/monitoring.svg from the dashboard that the construct makes. `make docs` runs it."""

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Template
from constructs import Construct

from cdk_s3_to_sftp.metrics import DeliveryMetrics
from cdk_s3_to_sftp.monitoring import Monitoring

PICTURE = Path(__file__).with_name("monitoring.svg")

_COLUMN, _ROW, _GAP = 40, 26, 4
"""Pixels. A dashboard has 24 columns."""

_CURVE = (0.62, 0.5, 0.56, 0.35, 0.42, 0.2, 0.3, 0.24, 0.46, 0.4)
"""Nobody's data."""


class _Delivery(DeliveryMetrics, Construct):
    """What a dashboard needs of a delivery, and no function to be bundled."""

    def __init__(self, scope: Construct) -> None:
        super().__init__(scope, "Delivery")
        self.queue = sqs.Queue(self, "Queue")
        self.dead_letter_queue = sqs.Queue(self, "DeadLetterQueue")
        self.log_group = logs.LogGroup(self, "Log")
        self.function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            code=lambda_.Code.from_inline("-"),
            handler="index.handler",
        )
        Monitoring(self, "Monitoring", delivery=self, partner="sftp.partner.example:22")


def picture() -> str:
    """Draw the dashboard of a delivery."""
    stack = cdk.Stack(cdk.App(analytics_reporting=False), "Stack")
    _Delivery(stack)
    widgets = dashboard_body(Template.from_stack(stack).to_json())["widgets"]
    height = max(widget["y"] + widget["height"] for widget in widgets) * _ROW + _GAP
    width = 24 * _COLUMN + _GAP
    drawn = "\n".join(line for widget in widgets for line in _draw(widget))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{width}" height="{height}" fill="#eaeded"/>\n{drawn}\n</svg>\n'
    )


def dashboard_body(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of the only dashboard; what is known at deployment is named in <brackets>."""
    (dashboard,) = (
        each["Properties"]["DashboardBody"]
        for each in template["Resources"].values()
        if each["Type"] == "AWS::CloudWatch::Dashboard"
    )
    _, parts = dashboard["Fn::Join"]
    body: dict[str, Any] = json.loads("".join(_named(part) for part in parts))
    return body


def _named(part: Any) -> str:
    match part:
        case {"Ref": name}:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
    return str(part)


def _draw(widget: dict[str, Any]) -> Iterator[str]:
    x, y = widget["x"] * _COLUMN + _GAP, widget["y"] * _ROW + _GAP
    width, height = widget["width"] * _COLUMN - _GAP, widget["height"] * _ROW - _GAP
    settings = widget["properties"]
    yield f'<g transform="translate({x},{y})">'
    yield f'<rect width="{width}" height="{height}" rx="3" fill="#fff" stroke="#c5cbcb"/>'
    if widget["type"] == "text":
        yield _text(10, 30, settings["markdown"].splitlines()[0].lstrip("# "), size=20)
    else:
        yield _text(8, 17, settings["title"], weight="bold")
    match widget["type"], settings.get("view"):
        case "alarm", _:
            yield from _draw_alarms(settings["alarms"], width)
        case "metric", "singleValue":
            yield from _draw_numbers(_shown(settings["metrics"]), width)
        case "metric", _:
            yield from _draw_curves(_shown(settings["metrics"]), width, height)
        case "log", _:
            yield from _draw_table(settings["query"], width, height)
    yield "</g>"


def _shown(metrics: list[list[Any]]) -> list[dict[str, Any]]:
    options = [metric[-1] for metric in metrics]
    return [option for option in options if option.get("visible", True)]


def _draw_alarms(alarms: list[str], width: int) -> Iterator[str]:
    for number, arn in enumerate(alarms):
        found = re.search(r"Monitoring([A-Za-z]+?)[0-9A-F]{8}\.Arn", arn)
        name = found[1] if found else arn
        x, y = 8 + number % 2 * (width // 2 - 4), 28 + number // 2 * 30
        yield f'<rect x="{x}" y="{y}" width="{width // 2 - 14}" height="26" rx="3" fill="#d5f0d5"/>'
        yield _text(x + 8, y + 18, name)


def _draw_numbers(metrics: list[dict[str, Any]], width: int) -> Iterator[str]:
    for number, metric in enumerate(metrics):
        x = 12 + number * (width // len(metrics))
        yield _text(x, 46, "123", size=22, fill=metric["color"])
        yield _text(x, 64, metric["label"])


def _draw_curves(metrics: list[dict[str, Any]], width: int, height: int) -> Iterator[str]:
    bottom = height - 16 * len(metrics) - 8
    yield f'<path d="M30 28V{bottom}H{width - 30}" fill="none" stroke="#999"/>'
    for number, metric in enumerate(metrics):
        steps = (width - 60) / (len(_CURVE) - 1)
        heights = _CURVE[number:] + _CURVE[:number]
        points = " ".join(
            f"{30 + index * steps:.0f},{28 + at * (bottom - 28):.0f}" for index, at in enumerate(heights)
        )
        side = " (right)" if metric.get("yAxis") == "right" else ""
        y = height - 16 * (len(metrics) - number) + 8
        yield f'<polyline points="{points}" fill="none" stroke="{metric["color"]}" stroke-width="1.5"/>'
        yield f'<rect x="30" y="{y - 8}" width="14" height="4" fill="{metric["color"]}"/>'
        yield _text(50, y, metric["label"] + side, size=11)


def _draw_table(query: str, width: int, height: int) -> Iterator[str]:
    columns = _columns(query)
    for number, column in enumerate(columns):
        yield _text(12 + number * (width - 12) // len(columns), 42, column, fill="#545b64")
    for y in range(52, height - 4, 20):
        yield f'<path d="M8 {y}H{width - 8}" stroke="#eaeded"/>'


def _columns(query: str) -> list[str]:
    """The columns of the table that a query makes, in order."""
    stats = re.search(r"\| stats (.*)", query)
    if stats:
        values, _, key = stats[1].partition(" by ")
        return [key, *re.findall(r" as (\w+)", values)]
    fields = re.search(r"\bfields (.*)", query)
    return [name.strip() for name in fields[1].split(",")] if fields else []


def _text(
    x: float, y: float, text: str, *, size: int = 12, weight: str = "normal", fill: str = "#16191f"
) -> str:
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" font-weight="{weight}" fill="{fill}">{escape(text)}</text>'
    )


if __name__ == "__main__":
    PICTURE.write_text(picture())
