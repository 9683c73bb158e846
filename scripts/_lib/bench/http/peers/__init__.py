"""The stacks that the web server is compared with; not part of the product, and not installed by
`scripts/setup`.

`fastapi_app` and `django_app` are programs of environments of their own, which `environment` makes from the
locks beside them. `processes` starts them.
"""
