using System;
using System.Net;
using System.Net.Sockets;
using System.Threading;

namespace Vestibule
{
    /// <summary>
    /// The UDP socket to one gateway, connected, so that the system drops what other addresses send, with a thread that
    /// finds the gateway and then receives. Nothing the network does throws, and nothing here waits for it: a name server
    /// that takes its time holds up neither capture nor the end of the app.
    /// </summary>
    internal sealed class UdpLine : IDisposable
    {
        private const int BufferBytes = 1 << 18;
        private const int LookMs = 500; // how long a closed socket's thread may live on where closing does not wake it
        private const int PauseMs = 50; // after an error that says nothing about when to try again

        private readonly object _gate = new object();
        private readonly Func<long> _clockNs;
        private readonly Action _wake;
        private volatile Socket _socket;
        private string _host = "";
        private int _port;
        private int _asked; // grows with each order to open or close
        private bool _isFinding;
        private bool _hasOutcome;
        private string _wrong;

        /// <param name="clockNs">Device time, taken when a packet arrives.</param>
        /// <param name="wake">Wakes the worker; called from the socket's thread.</param>
        public UdpLine(Func<long> clockNs, Action wake)
        {
            _clockNs = clockNs;
            _wake = wake;
        }

        public Inbox Inbox { get; } = new Inbox();

        /// <summary>Whether it is open, or about to be.</summary>
        public bool IsOpen
        {
            get
            {
                lock (_gate)
                {
                    return _socket != null || _isFinding;
                }
            }
        }

        /// <summary>
        /// Has the gateway found and a new socket made, in place of one that is open; that one is used until then. How it
        /// went is told by <see cref="TryTakeOutcome"/>.
        /// </summary>
        public void Open(string host, int port)
        {
            lock (_gate)
            {
                _asked++;
                if (_socket != null && (host != _host || port != _port))
                {
                    Close(); // it leads somewhere else
                }

                _host = host;
                _port = port;
                if (host.Length == 0 || port == 0)
                {
                    Close();
                    End("no host or port is set");
                }
                else if (IPAddress.TryParse(host, out var address))
                {
                    End(Connect(address, port));
                }
                else if (!_isFinding)
                {
                    // One at a time: the thread looks again when another name was asked for meanwhile.
                    _isFinding = true;
                    new Thread(Find) { IsBackground = true, Name = "vestibule find" }.Start();
                }
            }
        }

        /// <summary>How the last order to open went, once.</summary>
        /// <param name="wrong">Null when it is open, or why not.</param>
        public bool TryTakeOutcome(out string wrong)
        {
            lock (_gate)
            {
                var has = _hasOutcome;
                wrong = _wrong;
                _hasOutcome = false;
                return has;
            }
        }

        /// <summary>Sends without waiting for anybody; into the void while the gateway is being found.</summary>
        public void Send(byte[] packet, int bytes)
        {
            try
            {
                // An error is the last packet's (ICMP) or this one's: either way the packet is sent again in time.
                var sent = _socket?.Send(packet, 0, bytes, SocketFlags.None, out _);
                if (sent <= 0)
                {
                    // Linux tells the error of an earlier packet instead of sending: once more.
                    _socket?.Send(packet, 0, bytes, SocketFlags.None, out _);
                }
            }
            catch (Exception error) when (error is SocketException || error is ObjectDisposedException)
            {
                // The same, where the runtime throws all the same.
            }
        }

        public void Dispose()
        {
            lock (_gate)
            {
                _asked++;
                _host = "";
                Close();
            }
        }

        private void Close()
        {
            var socket = _socket;
            _socket = null;
            socket?.Dispose();
        }

        private void End(string wrong)
        {
            _wrong = wrong;
            _hasOutcome = true;
        }

        private void Find()
        {
            while (true)
            {
                string host;
                int asked;
                lock (_gate)
                {
                    host = _host;
                    asked = _asked;
                    _isFinding = host.Length > 0;
                    if (!_isFinding)
                    {
                        return;
                    }
                }

                var wrong = Resolve(host, out var address);
                lock (_gate)
                {
                    if (asked != _asked && host != _host)
                    {
                        continue; // another name, or none
                    }

                    // Where the name is not found now, the address that it had goes on being used.
                    _isFinding = false;
                    End(address != null ? Connect(address, _port) : _socket == null ? wrong : null);
                }

                _wake();
                return;
            }
        }

        private static string Resolve(string host, out IPAddress address)
        {
            address = null;
            try
            {
                foreach (var found in Dns.GetHostAddresses(host))
                {
                    if (found.AddressFamily == AddressFamily.InterNetwork)
                    {
                        address = found; // most clinics' networks have no IPv6
                        return null;
                    }

                    address = address ?? found;
                }
            }
            catch (Exception)
            {
                return "the name " + Shown(host) + " is not found"; // runtimes throw many things here, and some repeat a long name
            }

            return address == null ? "the name " + Shown(host) + " has no address" : null;
        }

        private static string Shown(string host) => host.Length <= 64 ? host : host.Substring(0, 64) + "...";

        /// <summary>Makes the socket; null, or why not.</summary>
        private string Connect(IPAddress address, int port)
        {
            Socket socket = null;
            try
            {
                socket = new Socket(address.AddressFamily, SocketType.Dgram, ProtocolType.Udp)
                {
                    ReceiveBufferSize = BufferBytes,
                    SendBufferSize = BufferBytes,
                    ReceiveTimeout = LookMs,
                };
                socket.Connect(new IPEndPoint(address, port));
            }
            catch (Exception error) when (error is SocketException || error is ArgumentException || error is NotSupportedException)
            {
                socket?.Dispose();
                Close();
                return error.Message;
            }

            Close();
            _socket = socket;
            var made = socket;
            new Thread(() => Receive(made)) { IsBackground = true, Name = "vestibule receive" }.Start();
            return null;
        }

        private void Receive(Socket socket)
        {
            var buffer = new byte[Sizes.MaxDatagram + 1];
            while (socket == _socket)
            {
                try
                {
                    var bytes = socket.Receive(buffer, 0, buffer.Length, SocketFlags.None, out var error);
                    if (error == SocketError.Success)
                    {
                        Inbox.Put(buffer, bytes, _clockNs());
                        _wake();
                    }
                    else if (error == SocketError.MessageSize)
                    {
                        Inbox.Put(buffer, buffer.Length, _clockNs());
                        _wake();
                    }
                    else if (error != SocketError.TimedOut && error != SocketError.WouldBlock &&
                             error != SocketError.ConnectionReset && error != SocketError.ConnectionRefused)
                    {
                        Thread.Sleep(PauseMs);
                    }
                }
                catch (Exception error) when (error is SocketException || error is ObjectDisposedException)
                {
                    Thread.Sleep(PauseMs);
                }
            }
        }
    }
}
