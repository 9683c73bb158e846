"""Notifications: messages to one member, from steps and jobs. A member lists them here and marks them as
read."""
