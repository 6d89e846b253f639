//! What an 8-bit file has besides: rounding of values, integer kernels.

use mnas_net::{Activation, Node, NodeId};

use super::Writer;
use super::layout::Order;
use super::proto::{Attribute, TensorProto};
use crate::quantize::{Params, Quantized, absorbs, keeps_scale};

impl Writer<'_> {
    /// The activation that a node absorbs, unless rounding its value does the same.
    pub(super) fn explicit_activation(&self, id: NodeId) -> Option<Activation> {
        let activation = self.fusion?.activation(id)?;
        let params = self.int8?.params(id);
        (!absorbs(params, activation)).then_some(activation)
    }

    /// Rounds a value to 8 bits; returns the name of the rounded one.
    pub(super) fn round(&mut self, value: &str, params: Params) -> String {
        self.round_as(value, value, params)
    }

    /// [`Writer::round`] under another name.
    fn round_as(&mut self, value: &str, name: &str, params: Params) -> String {
        let scale = TensorProto::float(&[], [params.scale].into_iter());
        let scale = self.initializer(name, "scale", scale);
        let zero = u8::try_from(params.zero_point + 128).unwrap_or(u8::MAX);
        let zero = self.initializer(name, "zero", TensorProto::uint8(&[], [zero].into_iter()));
        let (q, dq) = (format!("{name}.q"), format!("{name}.dq"));
        self.push("QuantizeLinear", &q, &[value, &scale, &zero], &q, vec![]);
        self.push("DequantizeLinear", &dq, &[&q, &scale, &zero], &dq, vec![]);
        dq
    }

    /// Name of a node's input, rounded again where its reader passes on values of another scale.
    pub(super) fn at_scale_of(&mut self, input: NodeId, reader: NodeId) -> String {
        let value = self.value(input);
        let Some(q) = self.int8 else { return value };
        let (have, want) = (q.params(input), q.params(reader));
        if !keeps_scale(&self.graph.node(reader).op) || have == want {
            return value;
        }
        let name = format!("{value}.for.{}", self.graph.node(reader).name);
        // A node that joins a value with itself asks twice.
        if self
            .initializers
            .iter()
            .all(|t| t.name != format!("{name}.scale"))
        {
            self.round_as(&value, &name, want);
        }
        format!("{name}.dq")
    }

    /// Adds an integer kernel and bias, one scale per output channel.
    pub(super) fn int8_parameters(
        &mut self,
        node: &Node,
        order: Order,
        q: &Quantized,
    ) -> Vec<String> {
        let kernel = q.kernel(&node.name);
        let channels = kernel.scales.len();
        let (dims, positions) = order(&kernel.shape);
        let values = positions.into_iter().map(|p| kernel.values[p]);
        let zeros = TensorProto::int8(&[channels], vec![0; channels].into_iter());
        let values = TensorProto::int8(&dims, values);
        let weight = self.scaled(node, "weight", values, &kernel.scales, zeros);
        let scales = kernel.bias_scales(q.params(node.inputs[0]).scale);
        let values = TensorProto::int32(&[channels], kernel.bias.iter().copied());
        let zeros = TensorProto::int32(&[channels], vec![0; channels].into_iter());
        let bias = self.scaled(node, "bias", values, &scales, zeros);
        vec![weight, bias]
    }

    /// Adds constant integers and the node that scales them; returns the scaled ones' name.
    fn scaled(
        &mut self,
        node: &Node,
        suffix: &str,
        values: TensorProto,
        scales: &[f32],
        zeros: TensorProto,
    ) -> String {
        let name = format!("{}.{suffix}", node.name);
        let q = self.initializer(&name, "q", values);
        let scales = TensorProto::float(&[scales.len()], scales.iter().copied());
        let scale = self.initializer(&name, "scale", scales);
        let zero = self.initializer(&name, "zero", zeros);
        let axis = Attribute::int("axis", 0);
        self.push(
            "DequantizeLinear",
            &name,
            &[&q, &scale, &zero],
            &name,
            vec![axis],
        );
        name
    }
}
