"""Named data: what is embedded, what can be fetched, and where it came from.

Each data set has a source, a licence and sha256 hashes in one registry file.
``UNSTILL_DATA`` names a local folder that is looked in first.
"""
