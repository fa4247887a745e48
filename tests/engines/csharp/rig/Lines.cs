using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.IO;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Threading;

/// <summary>The connection to the test: lines in from a thread of their own, lines out from the main loop.</summary>
internal sealed class Lines : IDisposable
{
    private readonly TcpClient _tcp = new TcpClient { NoDelay = true };
    private readonly ConcurrentQueue<string> _read = new ConcurrentQueue<string>();
    private readonly StreamWriter _writer;
    private volatile bool _ended;

    public Lines(int port)
    {
        _tcp.Connect(IPAddress.Loopback, port);
        var stream = _tcp.GetStream();
        _writer = new StreamWriter(stream, new UTF8Encoding(false)) { NewLine = "\n", AutoFlush = true };
        var reader = new StreamReader(stream, new UTF8Encoding(false));
        new Thread(() => Read(reader)) { IsBackground = true }.Start();
    }

    /// <summary>Whether the test is gone.</summary>
    public bool Ended => _ended && _read.IsEmpty;

    public bool TryTake(out string line) => _read.TryDequeue(out line);

    public void Say(Dictionary<string, object> members)
    {
        try
        {
            _writer.WriteLine(Json.Write(members));
        }
        catch (IOException)
        {
            _ended = true;  // the test is gone, and with it whoever would read this
        }
    }

    public void Dispose() => _tcp.Close();

    private void Read(StreamReader reader)
    {
        try
        {
            for (string line = reader.ReadLine(); line != null; line = reader.ReadLine())
            {
                _read.Enqueue(line);
            }
        }
        catch (IOException)
        {
            // as its end
        }
        catch (ObjectDisposedException)
        {
            // left in order
        }
        _ended = true;
    }
}
