"""Penstock: a batch compute service that speaks the Azure Batch REST API."""

__version__ = "0.1.0"
