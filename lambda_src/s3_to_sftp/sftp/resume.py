"""Whether the partner's server resumes files: shown the way it is used, by a connection that comes later."""

from s3_to_sftp.sftp import probe
from s3_to_sftp.sftp.pool import ConnectionPool


def supports_resume(pool: ConnectionPool, path: str) -> bool:
    """Return whether a file that was begun over one connection can be resumed over a later one.

    Asked once for each connection 0: behind the next one there may be another server. Two bytes are written
    into a new file, which is opened, changed, read and removed over a further channel or a new connection.

    Args:
        pool: The partner's connections, none of them at work. Connection 0 may be another one afterwards.
        path: A name that nobody uses, in the directory in question.

    Raises:
        RequestRefused: The server does not let it be tried. That is not remembered: it may be the directory,
            or pass.
        DeliveryError: The server is lost.
    """
    session = pool.first().session
    if pool.resumes is None:
        session.run_one(probe.begin_file(session, path))
        later, close = pool.another()
        try:
            pool.resumes = later.session.run_one(probe.resumes_file(later.session, path))
        finally:
            close()
    return bool(pool.resumes)
