"""The mailbox of the demo: `catcher` is a mail server that stores emails instead of delivering them,
`message_catcher` does the same for SMS and chat messages, and a page shows them."""
