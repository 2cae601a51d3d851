"""What Kubernetes objects are: names, schemas, patches, defaults, rules, tables. All of it pure.

Objects are the JSON that clients send: dictionaries, lists, strings, numbers, `None`. There are no
model classes: the schemas are data (`schema`, `catalogue`), and functions work on them. Nothing
here has a clock, dice or a socket of its own: `now`, random suffixes and UIDs are arguments.

*Inputs are never changed*, and outputs share structure with them: who wants to change a result
copies it first.

Errors: `field_errors.FieldError` says what is wrong at one path of an object; `errors.ApiError` is
what a client is answered, a Status object with Kubernetes' code, reason and text.

Reading order: `objects`, `errors`, `catalogue`, `schema`, then what you need.
"""
