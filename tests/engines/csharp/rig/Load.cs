using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Text;
using Vestibule;
using Vestibule.Unity;

/// <summary>
/// A full frame of three poses each frame, and info samples of the app's own until enough packets go: kinds of variable
/// size share no frame, and a packet has one frame of a stream, so each is a packet.
/// </summary>
internal sealed class Load
{
    private const double SettleS = 0.6;  // figures of the client are a quarter of a second old at most

    private readonly double _packetsS;
    private readonly double _seconds;
    private readonly long _sentBefore;
    private readonly byte[] _info = Encoding.ASCII.GetBytes("--------\u0002\0{}");
    private readonly Stopwatch _watch = Stopwatch.StartNew();
    private readonly List<double> _spent = new List<double>();
    private double _before;
    private double _owed;

    public Load(int id, double packetsS, double seconds, ClientStatus now)
    {
        Id = id;
        _packetsS = packetsS;
        _seconds = seconds;
        _sentBefore = now.Sent;
    }

    /// <summary>Of the order, which is answered at the end.</summary>
    public int Id { get; }

    /// <summary>One frame.</summary>
    /// <returns>Whether there is more.</returns>
    public bool Frame(Outlet outlet, VestibuleClient client)
    {
        double now = _watch.Elapsed.TotalSeconds;
        if (now >= _seconds)
        {
            return now < _seconds + SettleS;
        }
        _owed += (now - _before) * _packetsS;
        _before = now;
        long from = Stopwatch.GetTimestamp();
        long tNs = outlet.NowNs();
        float x = (float)Math.Sin(now);
        for (byte tracker = 0; tracker < 3; tracker++)
        {
            outlet.Pose(
                tracker,
                tNs,
                tracker,
                63,
                Axes.UnityVector(x, 1.6f, tracker),
                Axes.UnityRotation(0f, 0f, 0f, 1f),
                Axes.UnityVector(x, 0f, 0f),
                Axes.UnityAngular(0f, x, 0f));
        }
        for (; _owed >= 1; _owed--)
        {
            BitConverter.TryWriteBytes(_info, tNs);
            outlet.Put(Streams.FirstOwn, Kinds.Info, _info);
        }
        _spent.Add((Stopwatch.GetTimestamp() - from) * 1e6 / Stopwatch.Frequency);
        return true;
    }

    /// <summary>The answer to the order.</summary>
    public void Add(Dictionary<string, object> to, ClientStatus now)
    {
        _spent.Sort();
        to["frames"] = _spent.Count;
        to["packets"] = (int)(now.Sent - _sentBefore);
        to["capture_us"] = new Dictionary<string, object>
        {
            ["p50"] = At(0.50),
            ["p99"] = At(0.99),
            ["max"] = At(1.0),
        };
    }

    private double At(double share) => _spent.Count == 0 ? 0 : _spent[Math.Min(_spent.Count - 1, (int)(_spent.Count * share))];
}
