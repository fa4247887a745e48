using System;
using Vestibule;
using Vestibule.Unity;
using static Checks;

internal static class PoseChecks
{
    public static void Flags()
    {
        Same(0, PoseRules.Flags(0, 15, true, true), "nothing given: no bit, not even predicted");
        Same(0, PoseRules.Flags(15, 0, true, true), "given, and said not to be tracked");
        Same(1 | 2, PoseRules.Flags(3, 3, false, false), "valid, inferred");
        Same(1 | 2 | 4 | 8 | 64, PoseRules.Flags(3, 15, true, true), "measured, predicted; no velocity given");
        Same(2 | 8 | 32, PoseRules.Flags(15, 2 | 8, true, false), "three degrees of freedom");
    }

    public static void Turns()
    {
        That(!PoseRules.IsTurn(new Quat(0, 0, 0, 0)), "all zeros");
        That(!PoseRules.IsTurn(Quat.Unknown), "NaN");
        float half = (float)Math.Sqrt(0.5);
        // OpenXR: turned left by 90 degrees, about +y; it looks along -x.
        var left = new Quat(0, half, 0, half);
        Vec(-1, 0, 0, PoseRules.Forward(left), "forward");
        Vec(0, 0, -1, PoseRules.Forward(new Quat(0, 0, 0, 1)), "not turned");
        // What lies to the west of the room lies before a head that is turned left.
        Vec(0, 0, -1, PoseRules.InHead(left, new Vec3(-1, 0, 0)), "in the head");
        Vec(0, 1, 0, PoseRules.Forward(new Quat(half, 0, 0, half)), "up");
    }

    public static void Repeats()
    {
        var rules = new PoseRules();
        var p = new Vec3(1, 2, 3);
        var q = new Quat(0, 0, 0, 1);
        That(!rules.Repeats(p, q), "the first");
        That(rules.Repeats(p, q), "the same");
        That(!rules.Repeats(new Vec3(1, 2, 3.0000002f), q), "one bit");
        That(!rules.Repeats(Vec3.Unknown, q) && !rules.Repeats(Vec3.Unknown, q), "NaN repeats nothing");
    }

    public static void GazeAxesOfEach()
    {
        // The same eye told by three systems: 30 mm to the left, looking to the left and ahead.
        Eye(GazeAxes.OpenXr, -0.03f, 0.01f, -0.02f, -0.6f, 0f, -0.8f);
        Eye(GazeAxes.Unity, -0.03f, 0.01f, 0.02f, -0.6f, 0f, 0.8f);
        Eye(GazeAxes.SRanipal, 30f, 10f, 20f, 0.6f, 0f, 0.8f);
    }

    public static void GazeNoZeroFill()
    {
        var sample = GazeSample.Unknown(GazeAxes.SRanipal);
        sample.Left = new EyeSample { Flags = 31 | EyeFlags.CombinedDirectionValid, PupilMm = -1f, Openness = -1f };
        sample.Right = new EyeSample { Flags = 31, PupilMm = 0f, DirectionZ = 1f };
        var record = new byte[112];
        sample.Write(record, 5);
        Same(1 | 16, BitConverter.ToUInt16(record, 12), "left: no direction, pupil, openness, no combined direction");
        Same(1 | 2 | 8 | 16, BitConverter.ToUInt16(record, 14), "right: a pupil of 0 is none");
        foreach (int at in new[] { 28, 40, 44, 72, 92, 104, 108 })
        {
            Same(0x7fc00000u, BitConverter.ToUInt32(record, at), "the one NaN at " + at);
        }
    }

    private static void Eye(GazeAxes axes, float ox, float oy, float oz, float dx, float dy, float dz)
    {
        var sample = GazeSample.Unknown(axes);
        sample.Left = new EyeSample
        {
            Flags = 15,
            OriginX = ox,
            OriginY = oy,
            OriginZ = oz,
            DirectionX = dx,
            DirectionY = dy,
            DirectionZ = dz,
            PupilMm = 3.5f,
            Openness = 1f,
        };
        var record = new byte[112];
        sample.Write(record, 7);
        float[] wanted = { -0.03f, 0.01f, -0.02f, -0.6f, 0f, -0.8f, 3.5f, 1f };
        for (int i = 0; i < wanted.Length; i++)
        {
            Near(wanted[i], BitConverter.ToSingle(record, 16 + (4 * i)), axes + ", number " + i);
        }
    }

    private static void Vec(float x, float y, float z, Vec3 found, string what)
    {
        Near(x, found.X, what + " x");
        Near(y, found.Y, what + " y");
        Near(z, found.Z, what + " z");
    }
}
