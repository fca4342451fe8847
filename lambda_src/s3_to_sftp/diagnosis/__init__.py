"""What was seen of a problem -> its cause, what to do, and what to write to the partner.

One module for each stage of a delivery. Errors and the doctor take their sentences from here; the
troubleshooting page is generated from `catalogue`.
"""
