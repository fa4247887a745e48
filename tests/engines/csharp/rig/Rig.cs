using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.Threading;
using Vestibule;
using Vestibule.Unity;

/// <summary>
/// The Unity plugin under orders, without Unity: its Core and the engine-free part of its adapter, used as the adapter
/// uses them. One JSON object a line over TCP, from a test that listens at the port it names.
/// </summary>
internal sealed class Rig
{
    private readonly Lines _lines;
    private VestibuleClient _client;
    private Outlet _outlet;
    private ClientOptions _options;
    private Tape _tape;
    private Load _load;
    private double _fps = 90;
    private bool _tapeClock;
    private int _recordings;
    private bool _left;

    private Rig(int port)
    {
        _lines = new Lines(port);
    }

    public static int Main(string[] args)
    {
        var rig = new Rig(int.Parse(args[0], CultureInfo.InvariantCulture));
        rig.Loop();
        return 0;
    }

    private void Loop()
    {
        var watch = Stopwatch.StartNew();
        double next = 0;
        while (!_left && !_lines.Ended)
        {
            for (int i = 0; i < 16 && !_left && _lines.TryTake(out string line); i++)
            {
                Obey(new Order(Json.Read(line)));
            }
            if (_client != null && !_left)
            {
                Frame();
            }
            next = Math.Max(next + (1 / _fps), watch.Elapsed.TotalSeconds - 0.1);
            double ahead = next - watch.Elapsed.TotalSeconds;
            if (ahead > 0)
            {
                Thread.Sleep((int)Math.Ceiling(ahead * 1000));
            }
        }
        _client?.Close(0, false);  // as when the app is killed: no BYE
        _lines.Dispose();
    }

    // As the adapter: events first, then a frame of capture.
    private void Frame()
    {
        for (int i = 0; i < 32 && _client.TryDequeue(out ClientEvent e); i++)
        {
            Happened(e);
        }
        if (_client.Recordings != _recordings)
        {
            _recordings = _client.Recordings;
            _outlet.Forget();
        }
        var status = _client.Status();
        if (_tape != null && !_tape.Play(_outlet, status))
        {
            _lines.Say(new Dictionary<string, object> { ["event"] = "tape", ["done"] = true, ["samples"] = _tape.Samples });
            _tape = null;
        }
        if (_load != null && !_load.Frame(_outlet, _client))
        {
            var answer = Answer(_load.Id);
            _load.Add(answer, status);
            _lines.Say(answer);
            _load = null;
        }
    }

    private void Obey(in Order order)
    {
        int id = order.Int("id");
        var answer = Answer(id);
        try
        {
            if (Do(order, answer))
            {
                _lines.Say(answer);
            }
        }
        catch (Exception error)
        {
            _lines.Say(new Dictionary<string, object> { ["id"] = id, ["ok"] = false, ["error"] = error.Message });
        }
    }

    private bool Do(in Order order, Dictionary<string, object> answer)
    {
        string what = order.Text("do");
        if (_client == null && what != "make" && what != "quit")
        {
            throw new InvalidOperationException("make comes first");
        }
        switch (what)
        {
            case "make": Make(order); break;
            case "pair": _client.Pair(order.Text("text"), order.Text("name")); break;
            case "start": _client.Start(); break;
            case "pause": _client.Pause(order.Text("reason", "pause")); break;
            case "resume": _client.Resume(); break;
            case "stop": _client.Stop(order.Text("reason", "stop")); break;
            case "clock": _tapeClock = order.Text("mode") == "tape"; break;
            case "tape":
                _tape = new Tape(order.Text("path"), order.Number("speed", 1), _tapeClock, _options.RingBytes, _client.Status());
                break;
            case "load":
                _load = new Load(order.Int("id"), order.Number("packets_s"), order.Number("seconds"), _client.Status());
                return false;  // it is answered when it is done
            case "haptic":
                Haptic((byte)order.Int("target"), order.Number("amplitude"), order.Int("duration_ms"), order.Number("frequency_hz"));
                break;
            case "marker": _outlet.Marker(_outlet.NowNs(), (ushort)order.Int("code"), order.Text("text")); break;
            case "status": Figures.Add(answer, _client.Status()); break;
            case "quit": _left = true; break;
            default: throw new InvalidOperationException("no such order: " + what);
        }
        return true;
    }

    private void Make(in Order order)
    {
        var given = order.Inner("options");
        _fps = order.Number("fps", 90);
        _options = new ClientOptions { Host = order.Text("host"), Port = order.Int("port"), WatchFolder = order.Text("watch") };
        _options.RingBytes = given.Int("ring_bytes", _options.RingBytes);
        _options.RingPackets = given.Int("ring_packets", _options.RingPackets);
        _options.Spool = given.Flag("spool");
        _options.SpoolBytes = (long)given.Number("spool_bytes", _options.SpoolBytes);
        _options.LingerMs = given.Int("linger_ms", _options.LingerMs);
        _options.SilenceMs = given.Int("silence_ms", _options.SilenceMs);
        _options.WaitRetryMs = given.Int("wait_retry_ms", _options.WaitRetryMs);
        _options.ResendFirstMs = given.Int("resend_first_ms", _options.ResendFirstMs);
        _options.ResendMostMs = given.Int("resend_most_ms", _options.ResendMostMs);
        if (given.Has("versions"))
        {
            _options.Versions = given.List("versions").ConvertAll(version => Convert.ToInt32(version, CultureInfo.InvariantCulture));
        }
        if (given.Has("commands"))
        {
            _options.Commands = given.List("commands").ConvertAll(verb => (string)verb);
        }
        _client = new VestibuleClient(_options, order.Text("dir"));
        _outlet = new Outlet(_client);
    }

    // There is no actuator here: an effect counts as played.
    private void Haptic(byte target, double amplitude, int durationMs, double hz) =>
        _outlet.Haptic(
            _outlet.NowNs(), target, (float)amplitude, durationMs == 0 ? -1 : durationMs * 1_000_000L, (float)hz);

    private void Happened(ClientEvent e)
    {
        var line = new Dictionary<string, object>();
        switch (e.Kind)
        {
            case ClientEventKind.State:
                line["event"] = "state";
                line["state"] = e.State.State;
                line["reason"] = e.State.Reason;
                line["behind_s"] = e.State.BehindS;
                line["words"] = e.State.Words;
                break;
            case ClientEventKind.Paired:
                line["event"] = "paired";
                line["device"] = (int)e.Device;
                break;
            case ClientEventKind.Trouble:
                line["event"] = "trouble";
                line["words"] = e.Words;
                break;
            case ClientEventKind.Command:
                line["event"] = "command";
                line["verb"] = e.Command.Verb;
                line["args"] = Obey(e.Command);
                break;
        }
        _lines.Say(line);
    }

    private object[] Obey(ClientCommand command)
    {
        switch (command.Verb)
        {
            case "haptic":
                Haptic(command.Target, command.Amplitude, command.DurationMs, command.FrequencyHz);
                return new object[] { (int)command.Target, command.Amplitude, command.DurationMs, command.FrequencyHz };
            case "marker":
                _outlet.Marker(_outlet.NowNs(), command.Code, command.Text);
                return new object[] { (int)command.Code, command.Text };
            default:
                return new object[] { command.Text };
        }
    }

    private static Dictionary<string, object> Answer(int id) => new Dictionary<string, object> { ["id"] = id, ["ok"] = true };
}
