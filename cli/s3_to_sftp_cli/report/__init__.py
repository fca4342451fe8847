"""The report: one HTML file for an auditor or a manager."""
