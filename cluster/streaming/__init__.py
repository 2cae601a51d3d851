"""What exec, attach and port-forward travel in, between clients, API servers and kubelets.

    spdy         SPDY/3.1: frames, header blocks, streams; pure
    takeover     a request's socket, taken from the HTTP server that read the request

An API server passes the bytes of an upgraded connection on and knows nothing of what is in them. A
kubelet speaks the protocols: WebSockets, SPDY, and SPDY within a WebSocket.
"""
