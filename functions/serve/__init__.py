"""The function people read: pages, an API and exports of `reports`, and the pipeline's health.

It selects what reports declare and computes nothing; filters become query parameters, never SQL.
"""
