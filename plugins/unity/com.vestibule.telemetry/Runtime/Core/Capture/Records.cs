using System;
using System.Buffers.Binary;

namespace Vestibule
{
    /// <summary>
    /// Writes sample records (SPEC, "Sample records") from values in OpenXR's axes. Each call writes one record and
    /// returns its bytes; nothing is allocated. Times are device nanoseconds, the moment of capture.
    /// </summary>
    /// <remarks>
    /// A value whose bit is cleared is written as the one NaN of SPEC. A value that is not finite although its bit is
    /// set loses the bit: the gateway would refuse the whole frame.
    /// </remarks>
    public static partial class Records
    {
        /// <summary>A pose, 64 bytes.</summary>
        /// <param name="into">At least 64 bytes.</param>
        /// <param name="tNs">Moment of capture.</param>
        /// <param name="tracker">0 head, 1 left, 2 right; 3..255 body and props.</param>
        /// <param name="space">0 view, 1 local, 2 local_floor, 3 stage, 4 unbounded.</param>
        /// <param name="flags">Of <see cref="PoseFlags"/>.</param>
        /// <param name="position">Metres.</param>
        /// <param name="orientation">Unit quaternion.</param>
        /// <param name="linear">m/s.</param>
        /// <param name="angular">rad/s.</param>
        public static int Pose(
            Span<byte> into,
            long tNs,
            byte tracker,
            byte space,
            ushort flags,
            in Vec3 position,
            in Quat orientation,
            in Vec3 linear,
            in Vec3 angular)
        {
            flags = Honest(flags, PoseFlags.PositionValid, position.IsFinite);
            flags = Honest(flags, PoseFlags.OrientationValid, orientation.IsFinite);
            flags = Honest(flags, PoseFlags.LinearVelocityValid, linear.IsFinite);
            flags = Honest(flags, PoseFlags.AngularVelocityValid, angular.IsFinite);
            BinaryPrimitives.WriteInt64LittleEndian(into, tNs);
            into[8] = tracker;
            into[9] = space;
            BinaryPrimitives.WriteUInt16LittleEndian(into.Slice(10), flags);
            Numbers.Floats(into.Slice(12), Has(flags, PoseFlags.PositionValid) ? position : Vec3.Unknown);
            Numbers.Floats(into.Slice(24), Has(flags, PoseFlags.OrientationValid) ? orientation : Quat.Unknown);
            Numbers.Floats(into.Slice(40), Has(flags, PoseFlags.LinearVelocityValid) ? linear : Vec3.Unknown);
            Numbers.Floats(into.Slice(52), Has(flags, PoseFlags.AngularVelocityValid) ? angular : Vec3.Unknown);
            return 64;
        }

        /// <summary>Both eyes, 112 bytes.</summary>
        /// <param name="into">At least 112 bytes.</param>
        /// <param name="tNs">Moment of capture.</param>
        /// <param name="deviceSeq">The tracker's own frame number; 0 if it has none.</param>
        /// <param name="left">Its flags hold the bits of the combined values.</param>
        /// <param name="right">The other eye.</param>
        /// <param name="combinedOrigin">Metres.</param>
        /// <param name="combinedDirection">Unit vector.</param>
        /// <param name="vergenceM">Metres; NaN if unknown.</param>
        /// <param name="confidence">0..1; NaN if unknown.</param>
        public static int Gaze(
            Span<byte> into,
            long tNs,
            uint deviceSeq,
            in Eye left,
            in Eye right,
            in Vec3 combinedOrigin,
            in Vec3 combinedDirection,
            float vergenceM,
            float confidence)
        {
            var flags = WriteEye(into.Slice(16), left);
            flags = Honest(flags, EyeFlags.CombinedOriginValid, combinedOrigin.IsFinite);
            flags = Honest(flags, EyeFlags.CombinedDirectionValid, combinedDirection.IsFinite);
            BinaryPrimitives.WriteInt64LittleEndian(into, tNs);
            BinaryPrimitives.WriteUInt32LittleEndian(into.Slice(8), deviceSeq);
            BinaryPrimitives.WriteUInt16LittleEndian(into.Slice(12), flags);
            BinaryPrimitives.WriteUInt16LittleEndian(into.Slice(14), WriteEye(into.Slice(48), right));
            Numbers.Floats(
                into.Slice(80), Has(flags, EyeFlags.CombinedOriginValid) ? combinedOrigin : Vec3.Unknown);
            Numbers.Floats(
                into.Slice(92), Has(flags, EyeFlags.CombinedDirectionValid) ? combinedDirection : Vec3.Unknown);
            Numbers.Float(into.Slice(104), Known(vergenceM));
            Numbers.Float(into.Slice(108), Known(confidence));
            return 112;
        }

        /// <summary>A hand, 952 bytes.</summary>
        /// <param name="into">At least 952 bytes.</param>
        /// <param name="tNs">Moment of capture.</param>
        /// <param name="hand">1 left, 2 right.</param>
        /// <param name="source">0 unknown, 1 unobstructed, 2 controller.</param>
        /// <param name="flags">Bit 0: the hand is tracked.</param>
        /// <param name="confidence">0..1; NaN if unknown.</param>
        /// <param name="joints">26, in OpenXR's order: palm, wrist, thumb 4, index 5, middle 5, ring 5, little 5.</param>
        /// <exception cref="ArgumentException">Not 26 joints.</exception>
        public static int Hand(
            Span<byte> into,
            long tNs,
            byte hand,
            byte source,
            ushort flags,
            float confidence,
            ReadOnlySpan<Joint> joints)
        {
            if (joints.Length != 26)
            {
                throw new ArgumentException("A hand has 26 joints, in OpenXR's order.", nameof(joints));
            }

            BinaryPrimitives.WriteInt64LittleEndian(into, tNs);
            into[8] = hand;
            into[9] = source;
            BinaryPrimitives.WriteUInt16LittleEndian(into.Slice(10), flags);
            Numbers.Float(into.Slice(12), Known(confidence));
            var indexed = Numbers.Indexed(joints);
            for (var at = 0; at < indexed.Length; at++)
            {
                WriteJoint(into.Slice(16 + (at * 36), 36), indexed[at]);
            }

            return 952;
        }

        private static ushort WriteEye(Span<byte> into, in Eye eye)
        {
            var flags = Honest(eye.Flags, EyeFlags.OriginValid, eye.Origin.IsFinite);
            flags = Honest(flags, EyeFlags.DirectionValid, eye.Direction.IsFinite);
            flags = Honest(flags, EyeFlags.PupilValid, Numbers.IsFinite(eye.PupilMm));
            flags = Honest(flags, EyeFlags.OpennessValid, Numbers.IsFinite(eye.Openness));
            Numbers.Floats(into, Has(flags, EyeFlags.OriginValid) ? eye.Origin : Vec3.Unknown);
            Numbers.Floats(into.Slice(12), Has(flags, EyeFlags.DirectionValid) ? eye.Direction : Vec3.Unknown);
            Numbers.Float(into.Slice(24), Has(flags, EyeFlags.PupilValid) ? eye.PupilMm : float.NaN);
            Numbers.Float(into.Slice(28), Has(flags, EyeFlags.OpennessValid) ? eye.Openness : float.NaN);
            return flags;
        }

        private static void WriteJoint(Span<byte> into, in Joint joint)
        {
            var flags = joint.Flags;
            if (!joint.Position.IsFinite)
            {
                flags &= ~(uint)PoseFlags.PositionValid;
            }

            if (!joint.Orientation.IsFinite)
            {
                flags &= ~(uint)PoseFlags.OrientationValid;
            }

            Numbers.Floats(into, (flags & PoseFlags.PositionValid) != 0 ? joint.Position : Vec3.Unknown);
            Numbers.Floats(into.Slice(12), (flags & PoseFlags.OrientationValid) != 0 ? joint.Orientation : Quat.Unknown);
            Numbers.Float(into.Slice(28), Known(joint.RadiusM));
            BinaryPrimitives.WriteUInt32LittleEndian(into.Slice(32), flags);
        }

        private static bool Has(ushort flags, ushort bit) => (flags & bit) != 0;

        private static ushort Honest(ushort flags, ushort bit, bool finite) =>
            finite ? flags : (ushort)(flags & ~bit);

        private static float Known(float value) => Numbers.IsFinite(value) ? value : float.NaN;

        private static float Finite(float value) => Numbers.IsFinite(value) ? value : 0f;
    }
}
