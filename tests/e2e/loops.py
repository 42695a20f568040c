# SPDX-License-Identifier: GPL-2.0-or-later
"""A node in a foreign event loop: loops.py LIBIPN LOOP PATH COUNT

LOOP is asyncio, glib or libuv. Prints "in", receives COUNT messages "0", "1"... in callbacks of the
loop, then sends "done".
"""

import asyncio
import ctypes
import sys

AF_IPN, SOCK_RAW, MSG_DONTWAIT, POLLIN = 34, 3, 0x40, 1
lib = ctypes.CDLL(sys.argv[1], use_errno=True)
loop, path, count = sys.argv[2], sys.argv[3].encode(), int(sys.argv[4])
got = 0


def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "libipn")
    return result


fd = check(lib.ipn_socket(AF_IPN, SOCK_RAW, 0))
address = AF_IPN.to_bytes(2, sys.byteorder) + path.ljust(108, b"\0")
check(lib.ipn_connect(fd, address, len(address)))
watched = check(lib.ipn_poll_fd(fd, POLLIN))
print("in", flush=True)


def one():
    """Takes a single message at each call: the loop must say again that there are more."""
    global got
    buffer = ctypes.create_string_buffer(64)
    n = check(lib.ipn_recv(fd, buffer, 64, MSG_DONTWAIT))
    if int(buffer.raw[:n]) != got:
        raise SystemExit(f"{buffer.raw[:n]} after {got}")
    got += 1
    return got < count


def by_asyncio():
    async def run():
        end = asyncio.Event()
        asyncio.get_running_loop().add_reader(watched, lambda: one() or end.set())
        await end.wait()

    asyncio.run(run())


def by_glib():
    glib = ctypes.CDLL("libglib-2.0.so.0")
    glib.g_main_loop_new.restype = ctypes.c_void_p
    main = ctypes.c_void_p(glib.g_main_loop_new(None, 0))

    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
    def ready(_fd, _condition, _data):
        if one():
            return 1
        glib.g_main_loop_quit(main)
        return 0

    glib.g_unix_fd_add(watched, 1, ready, None)
    glib.g_main_loop_run(main)


def by_libuv():
    uv = ctypes.CDLL("libuv.so.1")
    uv.uv_default_loop.restype = ctypes.c_void_p
    uv.uv_handle_size.restype = ctypes.c_size_t
    main = ctypes.c_void_p(uv.uv_default_loop())
    handle = ctypes.create_string_buffer(uv.uv_handle_size(8))  # UV_POLL

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_int)
    def ready(_handle, _status, _events):
        if not one():
            uv.uv_poll_stop(handle)

    uv.uv_poll_init(main, handle, watched)
    uv.uv_poll_start(handle, 1, ready)
    uv.uv_run(main, 0)


{"asyncio": by_asyncio, "glib": by_glib, "libuv": by_libuv}[loop]()
if got != count:
    raise SystemExit(f"{got} of {count}")
check(lib.ipn_send(fd, b"done", 4, 0))
