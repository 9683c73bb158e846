"""Adapters to other systems: mail servers (`smtp`), HTTP endpoints (`http`), providers of SMS and chat
(`sms_chat`), and the SAQ queues from which workers take turns (`job_notifier`). They implement the interfaces
of `app/ports.py`."""
