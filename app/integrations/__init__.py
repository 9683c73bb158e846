"""Adapters to other systems: mail servers (`smtp`), HTTP endpoints (`http`), providers of SMS and chat
(`sms_chat`), and the queue that wakes workers (`job_notifier`). They implement the interfaces of
`app/ports.py`."""
