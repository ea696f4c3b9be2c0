"""Notifications to devices."""


def push_device(container, device_id, notification, topic=None):
    return push_devices(container, [device_id], notification, topic)


def push_devices(container, device_ids, notification, topic=None):
    return _push(container, "push:device", "device_ids", device_ids, notification, topic)


def push_user(container, user_id, notification, topic=None):
    return push_users(container, [user_id], notification, topic)


def push_users(container, user_ids, notification, topic=None):
    return _push(container, "push:user", "user_ids", user_ids, notification, topic)


def _push(container, action, name, ids, notification, topic):
    params = {name: ids, "notification": notification}
    if topic:
        params["topic"] = topic
    return container.send_action(action, params)
