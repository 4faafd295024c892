"""Certificates made readable: HTML, JUnit, console, GitHub Actions, comparisons. Reads certificates only."""

from harness.report.comparison import comparison_lines, comparison_text, render_comparison
from harness.report.console import print_certificate, story_text
from harness.report.github import annotations, job_summary
from harness.report.html import render_html
from harness.report.junit import render_comparison_junit, render_junit

__all__ = [
    "annotations",
    "comparison_lines",
    "comparison_text",
    "job_summary",
    "print_certificate",
    "render_comparison",
    "render_comparison_junit",
    "render_html",
    "render_junit",
    "story_text",
]
