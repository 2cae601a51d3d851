"""What changes or refuses an object on its way in: plugins, asked in order.

A plugin is a `Plugin`. `mutate` may change `Attributes.obj` in place, which is the request's own
copy, before it is validated; `validate` only says no, by raising an `ApiError`, after that.

The order is that of `chain.py`: mutating plugins, mutating webhooks, validation of the object,
validating plugins, validating webhooks.
"""
