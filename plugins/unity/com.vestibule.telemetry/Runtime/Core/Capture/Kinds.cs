namespace Vestibule
{
    /// <summary>The kinds of sample, and how large their records are (SPEC, "Sample records").</summary>
    public static class Kinds
    {
        /// <summary>A pose: 64 bytes.</summary>
        public const byte Pose = 1;

        /// <summary>Both eyes: 112 bytes.</summary>
        public const byte Gaze = 2;

        /// <summary>The 26 joints of a hand: 952 bytes.</summary>
        public const byte Hand = 3;

        /// <summary>What was played on an actuator: 32 bytes.</summary>
        public const byte Haptic = 4;

        /// <summary>A button, stick or touch: 24 bytes.</summary>
        public const byte Button = 5;

        /// <summary>A clock measurement, made by the client itself: 48 bytes.</summary>
        public const byte Clock = 6;

        /// <summary>A marker of the app: 12 bytes and its text.</summary>
        public const byte Marker = 7;

        /// <summary>What a stream is, as JSON: 10 bytes and its text.</summary>
        public const byte Info = 8;

        /// <summary>Sound played on an actuator: 16 bytes and its values.</summary>
        public const byte Pcm = 9;

        /// <summary>Face weights in the order of XR_FB_face_tracking2: 70.</summary>
        public const byte FaceFb2 = 16;

        /// <summary>Face weights in the order of ARKit: 52.</summary>
        public const byte FaceArkit = 17;

        /// <summary>Face weights in the order of Godot's XRFaceTracker: 143.</summary>
        public const byte FaceUnified = 18;

        /// <summary>Face weights in the order of XR_HTC_facial_tracking: 51.</summary>
        public const byte FaceHtc = 19;

        /// <summary>Bytes of the largest record.</summary>
        public const int MaxRecordBytes = 16 + (2 * MaxPcmValues);

        /// <summary>Most bytes of UTF-8 in a marker.</summary>
        public const int MaxMarkerBytes = 512;

        /// <summary>Most bytes of UTF-8 in an info.</summary>
        public const int MaxInfoBytes = 1024;

        /// <summary>Most values of a pcm; 551 always fit a datagram.</summary>
        public const int MaxPcmValues = 560;

        /// <summary>Bytes of a record, or of the header of a kind of variable size; 0 for an unknown kind.</summary>
        public static int RecordBytes(byte kind)
        {
            switch (kind)
            {
                case Pose: return 64;
                case Gaze: return 112;
                case Hand: return 952;
                case Haptic: return 32;
                case Button: return 24;
                case Clock: return 48;
                case Marker: return 12;
                case Info: return 10;
                case Pcm: return 16;
                case FaceFb2:
                case FaceArkit:
                case FaceUnified:
                case FaceHtc: return 16 + (4 * FaceWeights(kind));
                default: return 0;
            }
        }

        /// <summary>Whether a frame holds exactly one sample of this kind, whose own header tells its length.</summary>
        public static bool IsVariable(byte kind) => kind == Marker || kind == Info || kind == Pcm;

        /// <summary>How many weights a face kind has; 0 for all others.</summary>
        public static int FaceWeights(byte kind)
        {
            switch (kind)
            {
                case FaceFb2: return 70;
                case FaceArkit: return 52;
                case FaceUnified: return 143;
                case FaceHtc: return 51;
                default: return 0;
            }
        }

        /// <summary>The word used in permits and listings; empty for an unknown kind.</summary>
        public static string Name(byte kind)
        {
            switch (kind)
            {
                case Pose: return "pose";
                case Gaze: return "gaze";
                case Hand: return "hand";
                case Haptic: return "haptic";
                case Button: return "button";
                case Clock: return "clock";
                case Marker: return "marker";
                case Info: return "info";
                case Pcm: return "pcm";
                case FaceFb2: return "face_fb2";
                case FaceArkit: return "face_arkit";
                case FaceUnified: return "face_unified";
                case FaceHtc: return "face_htc";
                default: return "";
            }
        }
    }
}
