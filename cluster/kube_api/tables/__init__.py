"""`kubectl get`: objects as rows of a table, one file a topic; `table` puts rows together.

A kind has columns and a function that gives the cells of an object, wide columns' included: kubectl
hides those. Kinds without columns of their own have Name and Created At.
"""

from cluster.kube_api.tables.table import custom_printer, partial_object, printer_of, table

__all__ = ["custom_printer", "partial_object", "printer_of", "table"]
