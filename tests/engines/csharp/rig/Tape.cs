using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using Vestibule;
using Vestibule.Unity;

/// <summary>
/// Plays a tape through the adapter's capture layer, values in Unity's axes. All lines of one time belong to one frame.
/// Besides the lines that every rig knows: hand (`hand`, `source`, `flags`, `confidence`, `joints`: 26 of `p`, `q`,
/// `radius`, `flags`) and face (`schema`, `flags`, `upper_confidence`, `lower_confidence`, `weights`).
/// </summary>
internal sealed class Tape
{
    private const int QueueRoom = 1024 * 1024;  // half of the client's queue
    private const int Overhead = 64;  // of a record in the queue, generously

    private readonly StreamReader _reader;
    private readonly double _speed;
    private readonly bool _tapeClock;
    private readonly long _ringRoom;
    private readonly Stopwatch _watch = Stopwatch.StartNew();
    private readonly Queue<(long Samples, long Bytes)> _untaken = new Queue<(long, long)>();
    private readonly long _takenBefore;
    private long _untakenBytes;
    private long _firstNs;
    private bool _begun;
    private string _line;

    public Tape(string path, double speed, bool tapeClock, long ringBytes, ClientStatus now)
    {
        _reader = new StreamReader(path);
        _speed = speed;
        _tapeClock = tapeClock;
        _ringRoom = ringBytes / 4;
        _takenBefore = Taken(now);
        _line = _reader.ReadLine();
    }

    /// <summary>Lines played so far.</summary>
    public long Samples { get; private set; }

    /// <summary>Plays what is due in this frame.</summary>
    /// <returns>Whether there is more.</returns>
    public bool Play(Outlet outlet, ClientStatus status)
    {
        while (_untaken.Count > 0 && Taken(status) - _takenBefore >= _untaken.Peek().Samples)
        {
            _untakenBytes -= _untaken.Dequeue().Bytes;
        }
        long frameNs = long.MinValue;
        long nowNs = outlet.NowNs();
        while (_line != null)
        {
            var line = new Order(Json.Read(_line));
            long tapeNs = line.Long("t");
            if (!_begun)
            {
                _begun = true;
                _firstNs = tapeNs;
            }
            if (tapeNs != frameNs)
            {
                if (!Due(tapeNs) || !Room(status))
                {
                    return true;
                }
                frameNs = tapeNs;
                nowNs = outlet.NowNs();
            }
            int bytes = Put(outlet, line, _tapeClock ? tapeNs : nowNs);
            Samples++;
            _untakenBytes += bytes + Overhead;
            _untaken.Enqueue((Samples, bytes + Overhead));
            _line = _reader.ReadLine();
        }
        _reader.Dispose();
        return false;
    }

    private bool Due(long tapeNs) => _speed <= 0 || (tapeNs - _firstNs) / 1e9 / _speed <= _watch.Elapsed.TotalSeconds;

    private bool Room(ClientStatus status) =>
        _speed > 0 || (_untakenBytes < Math.Min(QueueRoom, _ringRoom) && status.HeldBytes < _ringRoom);

    // What left the queue, whatever became of it.
    private static long Taken(ClientStatus status)
    {
        long taken = status.Captured + status.Unrecorded;
        foreach (var withheld in status.Withheld.Values)
        {
            taken += withheld;
        }
        return taken;
    }

    private static int Put(Outlet outlet, in Order line, long tNs)
    {
        ushort stream = (ushort)line.Int("stream");
        switch (line.Text("kind"))
        {
            case "pose":
                Pose(outlet, line, stream, tNs);
                return 64;
            case "gaze":
                Gaze(outlet, line, tNs);
                return 112;
            case "haptic":
                outlet.Haptic(
                    tNs,
                    (byte)line.Int("target"),
                    line.Float("amplitude"),
                    line.Long("duration_ns"),
                    line.Float("frequency_hz"),
                    (byte)line.Int("event"),
                    (ushort)line.Int("actuator"),
                    (uint)line.Number("effect_id"));
                return 32;
            case "hand":
                Hand(outlet, line, stream, tNs);
                return 952;
            case "face":
                Face(outlet, line, tNs);
                return 588;
            case "marker":
                outlet.Marker(tNs, (ushort)line.Int("code"), line.Text("text"));
                return 524;
            case "button":
                outlet.Button(tNs, (ushort)line.Int("control"), (byte)line.Int("event"), line.Float("x"), line.Float("y"));
                return 24;
            default:
                throw new FormatException("a tape has no kind '" + line.Text("kind") + "'");
        }
    }

    private static void Pose(Outlet outlet, in Order line, ushort stream, long tNs)
    {
        outlet.Space = (byte)line.Int("space");
        outlet.Pose(
            stream,
            tNs,
            (byte)line.Int("tracker"),
            (ushort)line.Int("flags"),
            Vector(line.Floats("p", 3)),
            Turn(line.Floats("q", 4)),
            Vector(line.Floats("v", 3)),
            Angular(line.Floats("w", 3)));
    }

    private static void Gaze(Outlet outlet, in Order line, long tNs)
    {
        var sample = GazeSample.Unknown(GazeAxes.Unity);
        sample.DeviceSeq = (uint)line.Number("device_seq");
        sample.Left = Eye(line, "left");
        sample.Right = Eye(line, "right");
        var v = line.Floats("combined_origin", 3);
        (sample.CombinedOriginX, sample.CombinedOriginY, sample.CombinedOriginZ) = (v[0], v[1], v[2]);
        v = line.Floats("combined_direction", 3);
        (sample.CombinedDirectionX, sample.CombinedDirectionY, sample.CombinedDirectionZ) = (v[0], v[1], v[2]);
        sample.VergenceM = line.Float("vergence_m");
        sample.Confidence = line.Float("confidence");
        outlet.Gaze(tNs, sample);
    }

    private static EyeSample Eye(in Order line, string side)
    {
        var o = line.Floats(side + "_origin", 3);
        var d = line.Floats(side + "_direction", 3);
        return new EyeSample
        {
            Flags = (ushort)line.Int("flags_" + side),
            OriginX = o[0],
            OriginY = o[1],
            OriginZ = o[2],
            DirectionX = d[0],
            DirectionY = d[1],
            DirectionZ = d[2],
            PupilMm = line.Float(side + "_pupil_mm"),
            Openness = line.Float(side + "_openness"),
        };
    }

    private static void Hand(Outlet outlet, in Order line, ushort stream, long tNs)
    {
        var joints = new Joint[26];
        for (int i = 0; i < joints.Length; i++)
        {
            var joint = new Order((Dictionary<string, object>)line.List("joints")[i]);
            joints[i] = new Joint(
                (uint)joint.Int("flags"), Vector(joint.Floats("p", 3)), Turn(joint.Floats("q", 4)), joint.Float("radius"));
        }
        outlet.Hand(
            stream,
            tNs,
            (byte)line.Int("hand"),
            (byte)line.Int("source"),
            (line.Int("flags") & 1) != 0,
            line.Float("confidence"),
            joints);
    }

    private static void Face(Outlet outlet, in Order line, long tNs)
    {
        byte kind = (byte)(Kinds.FaceFb2 + line.Int("schema") - 1);
        outlet.Face(
            tNs,
            kind,
            (line.Int("flags") & 1) != 0,
            (byte)line.Int("upper_confidence"),
            (byte)line.Int("lower_confidence"),
            line.Floats("weights", Kinds.FaceWeights(kind)));
    }

    private static Vec3 Vector(float[] v) => Axes.UnityVector(v[0], v[1], v[2]);

    private static Vec3 Angular(float[] v) => Axes.UnityAngular(v[0], v[1], v[2]);

    private static Quat Turn(float[] v) => Axes.UnityRotation(v[0], v[1], v[2], v[3]);
}
