"""Certificates made readable: HTML, JUnit, console, GitHub Actions. Reads certificates only."""

from harness.report.console import print_certificate, story_text
from harness.report.github import annotations, job_summary
from harness.report.html import render_html
from harness.report.junit import render_junit

__all__ = [
    "annotations",
    "job_summary",
    "print_certificate",
    "render_html",
    "render_junit",
    "story_text",
]
