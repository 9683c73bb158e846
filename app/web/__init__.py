"""What every HTTP request passes, for all screens: authentication, permissions, CSRF, body limits, HTML or
JSON, error pages, logs and metrics. `app_factory` puts it together."""
