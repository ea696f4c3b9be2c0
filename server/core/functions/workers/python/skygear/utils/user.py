"""Passwords, for functions that write accounts themselves. An app that uses it names bcrypt in its requirements."""
from .db import conn


def hash_password(password):
    """The password as the server stores it."""
    import bcrypt

    return bcrypt.hashpw(password.encode("utf-8"), bcrypt.gensalt()).decode("utf-8")


def reset_password_by_username(username, new_password):
    """Give a user another password and say whether there is one of that name."""
    import sqlalchemy

    if not isinstance(username, str) or not isinstance(new_password, str):
        raise ValueError("username and new_password must be texts")
    statement = sqlalchemy.text('UPDATE "_user" SET password = :password WHERE username = :username')
    with conn() as connection:
        return connection.execute(statement, {"password": hash_password(new_password), "username": username}).rowcount > 0
